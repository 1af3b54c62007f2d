package io.github.nf4j.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.github.nf4j.bindings.Nf4jH;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.ValueLayout;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/// GraalVM's native-image makes a stub for each type of call that it is told of. What it is told is generated from the
/// bindings: with `-Dnf4j.writeMetadata=true` this test writes the file, else it compares.
class ReachabilityMetadataTest {
    private static final Path FILE = Path.of(
            "src/main/resources/META-INF/native-image/io.github.nf4j/nf4j/reachability-metadata.json");
    /// Deleters of DLPack: theirs are called, ours is called back.
    private static final String DELETER = call("void", "\"void*\"");

    @Test
    void listsEveryTypeOfCall() throws Exception {
        NativeLibrary.load(); // the bindings look a symbol up together with its type
        Set<String> downcalls = new TreeSet<>(Set.of(DELETER, call(OpenArenas.BSEARCH)));
        Set<String> upcalls = new TreeSet<>(Set.of(DELETER, call(OpenArenas.COMPARISON)));
        for (Method method : Nf4jH.class.getMethods()) {
            if (method.getName().endsWith("$descriptor")) {
                downcalls.add(call((FunctionDescriptor) method.invoke(null)));
            }
        }
        String expected = """
                {
                  "resources": [
                    { "glob": "io/github/nf4j/internal/natives/*/libnf4j.so" }
                  ],
                  "foreign": {
                    "downcalls": [
                %s
                    ],
                    "upcalls": [
                %s
                    ]
                  }
                }
                """.formatted(String.join(",\n", downcalls), String.join(",\n", upcalls));
        if (Boolean.getBoolean("nf4j.writeMetadata")) {
            Files.createDirectories(FILE.getParent());
            Files.writeString(FILE, expected);
        }
        assertEquals(expected, Files.readString(FILE), "write it anew with -Dnf4j.writeMetadata=true");
    }

    @Test
    void isTheJsonThatTheSchemaAsksFor() throws Exception {
        JsonNode foreign = new ObjectMapper().readTree(FILE.toFile()).required("foreign");
        Set<String> types = Set.of("void", "int", "long", "float", "double", "void*"); // names of canonical layouts
        for (String kind : Set.of("downcalls", "upcalls")) {
            assertTrue(!foreign.required(kind).isEmpty(), kind);
            for (JsonNode call : foreign.required(kind)) {
                assertTrue(types.contains(call.required("returnType").textValue()), call.toString());
                for (JsonNode type : call.required("parameterTypes")) {
                    assertTrue(types.contains(type.textValue()) && !type.textValue().equals("void"), call.toString());
                }
            }
        }
    }

    private static String call(FunctionDescriptor type) {
        return call(type.returnLayout().map(ReachabilityMetadataTest::name).orElse("void"), type.argumentLayouts().stream()
                .map(layout -> '"' + name(layout) + '"').collect(Collectors.joining(", ")));
    }

    private static String call(String returnType, String parameterTypes) {
        return "      { \"returnType\": \"" + returnType + "\", \"parameterTypes\": [" + parameterTypes + "] }";
    }

    private static String name(MemoryLayout layout) {
        return switch (layout) {
            case AddressLayout _ -> "void*";
            case ValueLayout.OfInt _ -> "int";
            case ValueLayout.OfLong _ -> "long";
            case ValueLayout.OfFloat _ -> "float";
            case ValueLayout.OfDouble _ -> "double";
            default -> throw new AssertionError("a layout that no function had so far: " + layout);
        };
    }
}
