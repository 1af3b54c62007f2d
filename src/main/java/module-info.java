/// Native NF4 and LoRA kernels for the JVM, and the training stack on top of them.
///
/// The root package, `op`, `autograd`, `nn` and `optim` need nothing but the JDK; what `io`, `train` and `cli` need besides
/// is optional (`requires static`).
module io.github.nf4j {
    requires static com.fasterxml.jackson.databind;
    requires static ai.djl.tokenizers;
    requires static ai.djl.api;
    requires static jinjava;
    requires static info.picocli;
    requires static me.tongfei.progressbar;
    requires static xchart;
    requires static java.desktop;

    exports io.github.nf4j;
    exports io.github.nf4j.op;
    exports io.github.nf4j.autograd;
    exports io.github.nf4j.nn;
    exports io.github.nf4j.optim;
    exports io.github.nf4j.io;
    exports io.github.nf4j.train;

    opens io.github.nf4j.io to jinjava; // calls the functions of chat templates by reflection
    opens io.github.nf4j.cli to info.picocli;
}
