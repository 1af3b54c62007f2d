package io.github.nf4j.bench.run;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.Stream;

/// Notices that others use the processor: other processes, by the time that our threads were ready but had to wait for a core
/// (the kernel counts nanoseconds), and other guests of the hypervisor, by the time that it took away (steal).
public final class LoadMonitor {
    /// More than this share of the time lost to others makes samples worthless.
    public static final double LIMIT = 0.02;

    private static final double NANOS_PER_TICK = 1e7; // USER_HZ is 100 on every Linux that runs a JVM
    private static final int CORES = Runtime.getRuntime().availableProcessors();
    private static final Path PROC = Path.of("/proc");

    private final List<Path> processes = new ArrayList<>();

    /// @param pids of processes besides this one whose work is ours
    public LoadMonitor(List<Long> pids) {
        processes.add(PROC.resolve("self"));
        pids.forEach(pid -> processes.add(PROC.resolve(Long.toString(pid))));
    }

    /// What was lost until a moment.
    ///
    /// @param nanos when it was taken
    /// @param lost  nanoseconds of processor time, of all threads
    public record Mark(long nanos, double lost) {
        /// Lost time as a share of the processor time since `begin`.
        public double shareSince(Mark begin) {
            double processorTime = (double) CORES * Math.max(1, nanos - begin.nanos);
            return Math.clamp((lost - begin.lost) / processorTime, 0, 1);
        }
    }

    /// On systems without these counters nothing is ever lost.
    public Mark mark() {
        double lost = steal();
        for (Path process : processes) {
            lost += waiting(process);
        }
        return new Mark(System.nanoTime(), lost);
    }

    /// The mean clock of the cores now, where the kernel tells. A hypervisor may show a constant.
    public static OptionalDouble megahertz() {
        try (Stream<String> lines = Files.lines(PROC.resolve("cpuinfo"))) {
            return lines.filter(line -> line.startsWith("cpu MHz")).mapToDouble(line -> Double.parseDouble(line.split(":")[1])).average();
        } catch (IOException | NumberFormatException e) {
            return OptionalDouble.empty();
        }
    }

    private static double steal() {
        try (Stream<String> lines = Files.lines(PROC.resolve("stat"))) {
            String[] fields = lines.findFirst().orElse("").trim().split("\\s+");
            return fields.length > 8 ? Long.parseLong(fields[8]) * NANOS_PER_TICK : 0;
        } catch (IOException e) {
            return 0;
        }
    }

    /// Nanoseconds that the threads of a process have spent on run queues, ready and not running. A thread that ends takes its
    /// share with it, so a difference may be too small, never too large.
    private static double waiting(Path process) {
        double nanos = 0;
        try (Stream<Path> tasks = Files.list(process.resolve("task"))) {
            for (Path task : tasks.toList()) {
                try {
                    nanos += Long.parseLong(Files.readString(task.resolve("schedstat")).split(" ")[1]);
                } catch (NoSuchFileException e) {
                    continue; // it has just ended
                }
            }
            return nanos;
        } catch (IOException | RuntimeException e) {
            return 0;
        }
    }
}
