package io.github.nf4j.bench.regress;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.bench.run.Checkout;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// In a repository of its own, whose `make java` does next to nothing.
class BuildTest {
    @TempDir
    private Path root;

    private Checkout checkout;

    @BeforeEach
    void begin() throws IOException {
        checkout = new Checkout(root);
        checkout.git("init", "--quiet");
        commit("java:\n\tmkdir -p target && cp Makefile target/nf4j-1.0.jar\n");
    }

    private void commit(String makefile) throws IOException {
        Files.writeString(root.resolve("Makefile"), makefile);
        checkout.git("add", "Makefile");
        checkout.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "change");
    }

    private long workTrees() {
        return checkout.git("worktree", "list").lines().count();
    }

    @Test
    void theTreeOfARevisionIsKeptUntilThatOfAnotherIsMade() throws Exception {
        commit("java:\n\tmkdir -p target && echo second > target/nf4j-2.0-SNAPSHOT.jar\n");
        Build first = Build.ofRevision(checkout, "HEAD~1");
        assertEquals(Files.readString(first.jar()), checkout.git("show", "HEAD~1:Makefile") + "\n");
        assertEquals(first, Build.ofRevision(checkout, "HEAD~1"));
        Build second = Build.ofRevision(checkout, "HEAD");
        assertEquals("second\n", Files.readString(second.jar()));
        assertTrue(Files.notExists(first.jar()), () -> first + " is still there");
        assertEquals(2, workTrees()); // with the checkout itself
    }

    @Test
    void aRevisionThatDoesNotBuildIsSaidAndDoesNotStayInTheWay() throws Exception {
        commit("java:\n\techo impossible && false\n");
        String message = assertThrows(IOException.class, () -> Build.ofRevision(checkout, "HEAD")).getMessage();
        Path log = root.resolve("build/bench/build.log");
        assertTrue(message.contains(log.toString()) && Files.readString(log).contains("impossible"), message);
        Build.ofRevision(checkout, "HEAD~1");
        assertEquals(2, workTrees());
    }
}
