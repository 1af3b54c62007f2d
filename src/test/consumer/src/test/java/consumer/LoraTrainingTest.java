package consumer;

import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.nf4j.Backend;
import io.github.nf4j.Device;
import io.github.nf4j.Stream;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;

class LoraTrainingTest {
    @Test
    void theLossFallsToLessThanAHundredth() {
        try (Arena arena = Arena.ofConfined(); Device device = Device.open(Backend.CPU); Stream stream = device.newStream()) {
            LoraTraining.Losses losses = new LoraTraining(arena).run(stream);
            assertTrue(losses.first() > 0.1 && losses.last() < 0.01 * losses.first(), losses.toString());
        }
    }
}
