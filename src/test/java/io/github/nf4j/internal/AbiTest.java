package io.github.nf4j.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import io.github.nf4j.Backend;
import io.github.nf4j.DType;
import io.github.nf4j.Isa;
import io.github.nf4j.Operation;
import io.github.nf4j.bindings.Nf4jH;
import java.io.IOException;
import java.lang.foreign.GroupLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemoryLayout;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// The committed bindings against the library that was built: layouts, symbols, constants.
class AbiTest {
    private static final Path SYMBOLS = Path.of("bindings", "symbols.txt");
    private static final Set<String> OPAQUE = Set.of("nf4j_device", "nf4j_stream", "nf4j_graph");

    @Test
    void everyStructHasTheLayoutThatTheLibraryReports() throws Exception {
        NativeLibrary.load();
        Set<String> reported = Nf4jH.nf4j_abi_layout().getString(0).lines()
                .collect(Collectors.toCollection(TreeSet::new));
        Set<String> bound = new TreeSet<>();
        for (String struct : symbols("--include-struct")) {
            if (OPAQUE.contains(struct)) {
                continue;
            }
            GroupLayout layout = (GroupLayout) Class.forName("io.github.nf4j.bindings." + struct).getMethod("layout")
                    .invoke(null);
            bound.add(struct + " " + layout.byteSize());
            for (MemoryLayout field : layout.memberLayouts()) {
                field.name().ifPresent(name -> bound.add(struct + "." + name + " "
                        + layout.byteOffset(PathElement.groupElement(name)) + " " + field.byteSize()));
            }
        }
        assertFalse(bound.isEmpty());
        assertEquals(String.join("\n", bound), String.join("\n", reported));
    }

    @Test
    void everyExportedSymbolIsBoundAndNothingElseIsExported() throws Exception {
        Set<String> exported = new TreeSet<>();
        for (String line : run("nm", "-D", "--defined-only", "--without-symbol-versions",
                NativeLibrary.load().toString()).lines().toList()) {
            String[] fields = line.split(" +");
            if (!fields[1].equals("A")) { // version nodes
                exported.add(fields[2]);
            }
        }
        Set<String> bound = Arrays.stream(Nf4jH.class.getMethods()).map(Method::getName)
                .filter(name -> name.startsWith("nf4j_") && !name.contains("$"))
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(exported, bound);
        assertEquals(new TreeSet<>(symbols("--include-function")), bound);
        for (String name : bound) {
            Nf4jH.class.getMethod(name + "$address").invoke(null); // resolves the symbol
        }
    }

    @Test
    void theEnumsHaveTheCodesOfTheHeader() throws Exception {
        for (DType dtype : DType.values()) {
            assertEquals(constant("NF4J_" + dtype), dtype.code(), dtype.name());
        }
        for (Backend backend : Backend.values()) {
            assertEquals(constant("NF4J_BACKEND_" + backend), backend.code());
            assertEquals(backend.ordinal(), backend.code(), "Device looks backends up by code");
        }
        for (Isa isa : Isa.values()) {
            assertEquals(constant("NF4J_ISA_" + isa), isa.code());
            assertEquals(isa.ordinal(), isa.code(), "Device looks instruction sets up by code");
        }
        for (Operation operation : Operation.values()) {
            assertEquals(constant("NF4J_OP_" + operation), operation.code());
        }
        List<String> constants = symbols("--include-constant");
        assertEquals(constants.stream().filter(name -> name.matches("NF4J_BACKEND_(?!UNAVAILABLE).*")).count(),
                Backend.values().length);
        assertEquals(constants.stream().filter(name -> name.startsWith("NF4J_ISA_")).count(), Isa.values().length);
        assertEquals(constants.stream().filter(name -> name.startsWith("NF4J_OP_")).count(), Operation.values().length);
    }

    private static int constant(String name) throws ReflectiveOperationException {
        return (int) Nf4jH.class.getMethod(name).invoke(null);
    }

    private static List<String> symbols(String kind) throws IOException {
        try (Stream<String> lines = Files.lines(SYMBOLS)) {
            return lines.filter(line -> line.startsWith(kind + " ")).map(line -> line.substring(kind.length() + 1))
                    .toList();
        }
    }

    private static String run(String... command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), output);
        return output;
    }
}
