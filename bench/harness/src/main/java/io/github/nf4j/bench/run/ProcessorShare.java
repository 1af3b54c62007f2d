package io.github.nf4j.bench.run;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/// How much of the processor others used while a process ran: all that was used, and what a hypervisor took, without what the process
/// and this one used. In ticks of 10 ms, so for processes of seconds.
public final class ProcessorShare {
    private static final int CORES = Runtime.getRuntime().availableProcessors();
    private static final double TICKS_PER_NANO = 1e-7;

    private final Path process;
    private final Ticks begin;
    private final long beginNanos = System.nanoTime();
    private Ticks last;
    private long lastNanos = beginNanos;

    /// @param used by all processes, with what was stolen
    /// @param own  by the process and this one
    private record Ticks(long used, long own) {
    }

    public ProcessorShare(long pid) {
        this.process = Path.of("/proc", Long.toString(pid), "stat");
        this.begin = ticks();
        this.last = begin;
    }

    /// Call it often while the process runs: when it has ended, it cannot be asked any more.
    public void look() {
        Ticks now = ticks();
        if (Files.exists(process)) {
            last = now;
            lastNanos = System.nanoTime();
        }
    }

    /// Of all processor time until the last look; 0 on systems without these counters.
    public double foreign() {
        double available = Math.max(1, (lastNanos - beginNanos) * TICKS_PER_NANO * CORES);
        return Math.clamp((last.used - begin.used - (last.own - begin.own)) / available, 0, 1);
    }

    private Ticks ticks() {
        return new Ticks(machine(), ofProcess(process) + ofProcess(Path.of("/proc/self/stat")));
    }

    /// user, nice, system, irq, softirq and steal; not idle and iowait.
    private static long machine() {
        try (Stream<String> lines = Files.lines(Path.of("/proc/stat"))) {
            String[] fields = lines.findFirst().orElse("").trim().split("\\s+");
            long sum = 0;
            for (int i : new int[] {1, 2, 3, 6, 7, 8}) {
                sum += fields.length > i ? Long.parseLong(fields[i]) : 0;
            }
            return sum;
        } catch (IOException e) {
            return 0;
        }
    }

    /// Its user and system time, and its children's that have ended.
    private static long ofProcess(Path stat) {
        try {
            String text = Files.readString(stat);
            String[] fields = text.substring(text.lastIndexOf(')') + 2).split(" "); // the name before may have spaces
            return Long.parseLong(fields[11]) + Long.parseLong(fields[12]) + Long.parseLong(fields[13]) + Long.parseLong(fields[14]);
        } catch (IOException | RuntimeException e) {
            return 0;
        }
    }
}
