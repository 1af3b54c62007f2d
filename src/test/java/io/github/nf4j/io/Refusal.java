package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;

/// How a file that lies must be refused: with a [FileFormatException] that names it and the lie, at once, and without much memory.
final class Refusal {
    /// A thousand times what any of them takes: who needs longer hangs.
    private static final Duration AT_ONCE = Duration.ofSeconds(20);
    /// More than the largest of them takes, a header of 100,001 tensors; less than any size that one of them announces.
    private static final long MUCH_MEMORY = 256 << 20;

    private Refusal() {
    }

    /// Reads a file.
    @FunctionalInterface
    interface Reader {
        void read() throws IOException;
    }

    /// @param message what the message must contain beside the file
    static void expect(Path file, String message, Reader reader) {
        FileFormatException e = assertTimeoutPreemptively(AT_ONCE, () -> {
            long before = allocatedBytes();
            FileFormatException refusal = assertThrows(FileFormatException.class, reader::read);
            long allocated = allocatedBytes() - before;
            assertTrue(allocated < MUCH_MEMORY, allocated + " bytes were allocated");
            return refusal;
        });
        assertEquals(file, e.file());
        assertTrue(e.getMessage().startsWith(file + ": ") && e.getMessage().contains(message), e.getMessage());
        assertTrue(e.getMessage().chars().allMatch(c -> c == '\n' || c == '\t' || !Character.isISOControl(c)), "a control character");
        assertTrue(e.getMessage().length() < 10_000, "a message of " + e.getMessage().length() + " characters");
    }

    /// Bytes that this thread has allocated in its life. By reflection, since the module that is tested does not read java.management.
    private static long allocatedBytes() throws ReflectiveOperationException {
        Object bean = Class.forName("java.lang.management.ManagementFactory").getMethod("getThreadMXBean").invoke(null);
        return (long) Class.forName("com.sun.management.ThreadMXBean").getMethod("getCurrentThreadAllocatedBytes").invoke(bean);
    }
}
