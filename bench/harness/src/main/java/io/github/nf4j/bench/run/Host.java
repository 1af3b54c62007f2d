package io.github.nf4j.bench.run;

import com.sun.management.OperatingSystemMXBean;
import io.github.nf4j.Backend;
import io.github.nf4j.DeviceInfo;
import io.github.nf4j.Version;
import io.github.nf4j.bench.result.Machine;
import io.github.nf4j.bench.result.ResultFile.Code;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Locale;

/// Says what is measured on what.
public final class Host {
    private static final Path CPU = Path.of("/sys/devices/system/cpu/cpu0");
    private static final long ASSUMED_CACHE_MB = 32;

    private Host() {
    }

    public static Machine machine(DeviceInfo device) {
        int cores = Runtime.getRuntime().availableProcessors();
        long cacheMb = lastLevelCacheMb();
        long ramMb = ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getTotalMemorySize() >> 20;
        String cpuinfo = orEmpty(Checkout.readOrNull(Path.of("/proc/cpuinfo")));
        boolean virtual = cpuinfo.contains(" hypervisor");
        Machine.Jvm jvm = new Machine.Jvm(System.getProperty("java.vendor"), System.getProperty("java.version"),
                String.join(" ", ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                        .filter(argument -> argument.startsWith("-X")).toList()));
        String isa = device.isa().name().toLowerCase(Locale.ROOT);
        String cpu = processor(cpuinfo);
        // RAM to the GiB: kernels reserve a different rest each time
        String identity = String.join("|", cpu, Integer.toString(cores), isa, Long.toString(cacheMb),
                Long.toString(Math.round(ramMb / 1024.0)), Boolean.toString(virtual), Integer.toString(Runtime.version().feature()))
                + (device.backend() == Backend.CUDA ? "|" + device.name() : "");
        String fingerprint = cpu.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-").replaceFirst("-$", "") + "-" + cores + "c-"
                + sha256(identity.getBytes(StandardCharsets.UTF_8)).substring(0, 8);
        return new Machine(fingerprint, cpu, cores, isa, cacheMb, ramMb,
                Checkout.readOrNull(CPU.resolve("cpufreq/scaling_governor")), virtual,
                System.getProperty("os.name") + " " + System.getProperty("os.arch"), System.getProperty("os.version"), jvm);
    }

    public static Code code(Checkout checkout) {
        String status = checkout.git("status", "--porcelain");
        try {
            return new Code(checkout.git("rev-parse", "HEAD"), status != null && !status.isEmpty(),
                    checkout.git("rev-parse", "--abbrev-ref", "HEAD"), Version.version(), sha256(Files.readAllBytes(Version.library())));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static boolean hasAvx512() {
        return orEmpty(Checkout.readOrNull(Path.of("/proc/cpuinfo"))).contains(" avx512f");
    }

    /// The model's name in `/proc/cpuinfo`, with family and model, which tell processors apart where a hypervisor hides the rest of the
    /// name; the architecture where neither is told.
    static String processor(String cpuinfo) {
        String name = value(cpuinfo, "model name"), family = value(cpuinfo, "cpu family"), model = value(cpuinfo, "model");
        return (name == null ? System.getProperty("os.arch") : name)
                + (family == null || model == null ? "" : " (family " + family + ", model " + model + ")");
    }

    private static String value(String cpuinfo, String key) {
        return cpuinfo.lines().filter(line -> line.matches(key + "\\s*:.*")).map(line -> line.replaceFirst("[^:]*:\\s*", ""))
                .findFirst().orElse(null);
    }

    /// In MiB; a guess where the kernel does not tell.
    private static long lastLevelCacheMb() {
        for (int index = 4; index >= 1; index--) {
            String size = Checkout.readOrNull(CPU.resolve("cache/index" + index + "/size"));
            if (size != null && size.matches("\\d+K")) {
                return Math.max(1, Long.parseLong(size.substring(0, size.length() - 1)) >> 10);
            }
        }
        return ASSUMED_CACHE_MB;
    }

    private static String orEmpty(String text) {
        return text == null ? "" : text;
    }

    private static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every Java platform has it
        }
    }
}
