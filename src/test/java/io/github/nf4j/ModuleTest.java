package io.github.nf4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleDescriptor.Exports;
import java.lang.module.ModuleDescriptor.Opens;
import java.lang.module.ModuleDescriptor.Requires;
import java.lang.module.ModuleFinder;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Member;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// That whoever links the module sees what is meant and no more, and needs nothing else.
class ModuleTest {
    private static final Path CLASSES = Path.of("target", "classes");
    private static final ModuleDescriptor MODULE = ModuleFinder.of(CLASSES).find("io.github.nf4j").orElseThrow().descriptor();
    private static final Set<String> EXPORTED = Set.of("io.github.nf4j", "io.github.nf4j.op", "io.github.nf4j.autograd",
            "io.github.nf4j.nn", "io.github.nf4j.optim", "io.github.nf4j.io", "io.github.nf4j.train");
    /// A class with its package, which is group 1.
    private static final Pattern QUALIFIED = Pattern.compile("(?<![\\w$.])([a-z_]\\w*(?:\\.[a-z_]\\w*)*)\\.\\w+");

    @Test
    void exportsWhatIsMeantAndIsOpenToNobodyElse() {
        assertEquals(Set.of(), MODULE.exports().stream().filter(Exports::isQualified).collect(Collectors.toSet()));
        assertEquals(EXPORTED, MODULE.exports().stream().map(Exports::source).collect(Collectors.toSet()));
        assertEquals(Set.of("jinjava", "info.picocli"),
                MODULE.opens().stream().map(Opens::targets).flatMap(Set::stream).collect(Collectors.toSet()));
        assertTrue(MODULE.opens().stream().allMatch(Opens::isQualified));
    }

    @Test
    void runsWithTheJdkAlone() {
        assertEquals(Set.of("java.base"),
                MODULE.requires().stream().filter(module -> !module.modifiers().contains(Requires.Modifier.STATIC))
                        .map(Requires::name).collect(Collectors.toSet()));
    }

    /// A type of a hidden package or of an optional library in a signature cannot be used by whoever links the module alone.
    @Test
    void signaturesNameExportedTypesOnly() throws Exception {
        Set<String> visible = new HashSet<>(EXPORTED);
        Object.class.getModule().getDescriptor().exports().stream().filter(exports -> !exports.isQualified())
                .forEach(exports -> visible.add(exports.source()));
        Set<String> leaks = new TreeSet<>();
        List<Class<?>> types = exportedTypes();
        for (Class<?> type : types) {
            for (String signature : signatures(type)) {
                if (QUALIFIED.matcher(signature).results().anyMatch(name -> !visible.contains(name.group(1)))) {
                    leaks.add(type.getName() + ": " + signature);
                }
            }
        }
        assertTrue(types.contains(Tensor.class) && types.contains(Isa.class), types.toString());
        assertEquals(Set.of(), leaks);
    }

    private static List<Class<?>> exportedTypes() throws IOException, ClassNotFoundException {
        List<Class<?>> types = new ArrayList<>();
        for (String name : EXPORTED) {
            List<Path> files;
            try (Stream<Path> list = Files.list(CLASSES.resolve(name.replace('.', '/')))) {
                files = list.filter(file -> file.toString().endsWith(".class") && !file.endsWith("package-info.class")).toList();
            }
            for (Path file : files) {
                Class<?> type = Class.forName(name + "." + file.getFileName().toString().replace(".class", ""), false,
                        ModuleTest.class.getClassLoader());
                if (isPublic(type)) {
                    types.add(type);
                }
            }
        }
        return types;
    }

    private static boolean isPublic(Class<?> type) {
        return Modifier.isPublic(type.getModifiers()) && (type.getDeclaringClass() == null || isPublic(type.getDeclaringClass()));
    }

    private static List<String> signatures(Class<?> type) {
        List<String> signatures = new ArrayList<>();
        if (type.getGenericSuperclass() != null) {
            signatures.add(type.getGenericSuperclass().getTypeName());
        }
        for (Type implemented : type.getGenericInterfaces()) {
            signatures.add(implemented.getTypeName());
        }
        for (Field field : type.getDeclaredFields()) {
            if (isShown(field)) {
                signatures.add(field.toGenericString());
            }
        }
        for (Constructor<?> constructor : type.getDeclaredConstructors()) {
            if (isShown(constructor)) {
                signatures.add(constructor.toGenericString());
            }
        }
        for (Method method : type.getDeclaredMethods()) {
            if (isShown(method)) {
                signatures.add(method.toGenericString());
            }
        }
        return signatures;
    }

    private static boolean isShown(Member member) {
        return !member.isSynthetic() && (member.getModifiers() & (Modifier.PUBLIC | Modifier.PROTECTED)) != 0;
    }
}
