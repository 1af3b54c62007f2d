/// A framework that links nf4j, by its module name.
module consumer {
    requires io.github.nf4j;
}
