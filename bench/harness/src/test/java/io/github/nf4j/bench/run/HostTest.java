package io.github.nf4j.bench.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import org.junit.jupiter.api.Test;

class HostTest {
    private static final String ZEN4 = """
            processor\t: 0
            vendor_id\t: AuthenticAMD
            cpu family\t: 25
            model\t\t: 17
            model name\t: AMD EPYC
            stepping\t: 1

            processor\t: 1
            cpu family\t: 25
            model\t\t: 18
            model name\t: something else
            """;

    @Test
    void tellsProcessorsApartWhoseNamesAreTheSame() {
        assertEquals("AMD EPYC (family 25, model 17)", Host.processor(ZEN4));
        assertNotEquals(Host.processor(ZEN4), Host.processor(ZEN4.replace(": 25", ": 26")));
        assertNotEquals(Host.processor(ZEN4), Host.processor(ZEN4.replace(": 17", ": 2")));
    }

    @Test
    void isContentWithWhatThereIs() {
        assertEquals("Some CPU: of a kind", Host.processor("model name\t: Some CPU: of a kind\n"));
        assertEquals(System.getProperty("os.arch"), Host.processor(""));
    }
}
