package io.github.nf4j.io;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Files that lie. Each must be refused with a message that names the place, and none may lead to another exception.
class SafetensorsHostileTest {
    @TempDir
    Path folder;

    /// Headers over eight bytes of data.
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '`', value = {
            // what is wrong with the tensor | what the message says
            "{'x':{'dtype':'F32','shape':[3],'data_offsets':[0,8]}}                                     | 8 bytes",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[8,0]}}                                     | backwards",
            "{'x':{'dtype':'F32','shape':[4],'data_offsets':[0,16]}}                                    | has 8 bytes of data",
            "{'x':{'dtype':'F32','shape':[1],'data_offsets':[0,4]}}                                     | cover 4 bytes of 8",
            "{'x':{'dtype':'F32','shape':[1],'data_offsets':[4,8]}}                                     | hole",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'y':{'dtype':'F32','shape':[1],'data_offsets':[4,8]}} | inside",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'y':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}} | inside",
            "{'x':{'dtype':'F32','shape':[4611686018427387904,4],'data_offsets':[0,0]}}                 | overflows",
            "{'x':{'dtype':'F32','shape':[0,9223372036854775807,9223372036854775807],'data_offsets':[0,0]}} | overflows",
            "{'x':{'dtype':'U8','shape':[4294967296,4294967296],'data_offsets':[0,0]}}                  | overflows",
            "{'x':{'dtype':'F32','shape':[-2],'data_offsets':[0,8]}}                                    | negative",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[-8,0]}}                                    | negative",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,9223372036854775808]}}                   | malformed",
            "{'x':{'dtype':'F32','shape':[2.0],'data_offsets':[0,8]}}                                   | integers",
            "{'x':{'dtype':'F32','shape':['2'],'data_offsets':[0,8]}}                                   | integers",
            "{'x':{'dtype':'F32','shape':2,'data_offsets':[0,8]}}                                       | list",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8,9]}}                                   | at most 2",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0]}}                                       | needs",
            "{'x':{'dtype':'F32','shape':[2]}}                                                          | needs",
            "{'x':{'shape':[2],'data_offsets':[0,8]}}                                                   | needs",
            "{'x':{'dtype':'F33','shape':[2],'data_offsets':[0,8]}}                                     | F33",
            "{'x':{'dtype':'f32','shape':[2],'data_offsets':[0,8]}}                                     | f32",
            "{'x':{'dtype':7,'shape':[2],'data_offsets':[0,8]}}                                         | string",
            "{'x':{'dtype':'F4','shape':[3],'data_offsets':[0,1]}}                                      | bits",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8],'offsets':[0,8]}}                     | unknown field",
            "{'x':{'dtype':'F32','shape':[2],'shape':[2],'data_offsets':[0,8]}}                         | malformed",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]},'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}} | Duplicate",
            "{'x':[]}                                                                                   | object",
            "{'x':{'dtype':'F32','shape':[[[[[[2]]]]]],'data_offsets':[0,8]}}                           | shape",
            "{'__metadata__':{'a':1},'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}              | __metadata__.a",
            "{'__metadata__':'a','x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}}                  | __metadata__",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}} {}                                  | padding",
            "{'x':{'dtype':'F32','shape':[2],'data_offsets':[0,8]}                                      | malformed",
            "{'x'                                                                                       | malformed",
            "[]                                                                                         | '{'",
            "{}                                                                                         | cover 0 bytes"})
    void refusesHeadersThatLie(String header, String expected) throws IOException {
        refused(HostileSafetensors.bytes(header.replace('\'', '"'), new byte[8]), expected);
    }

    @ParameterizedTest
    @CsvSource({"0, header", "7, header", "8, ends after"})
    void refusesTruncatedFiles(int bytes, String expected) throws IOException {
        byte[] whole = HostileSafetensors.bytes("{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                new byte[8]);
        refused(Arrays.copyOf(whole, bytes), expected);
    }

    @ParameterizedTest
    @CsvSource({"100000001, at most 100000000", "-1, at most 100000000", "9223372036854775807, at most 100000000",
            "99999999, ends after"})
    void refusesHeaderLengthsThatLie(long length, String expected) throws IOException {
        refused(ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN).putLong(length).put((byte) '{').array(),
                expected);
    }

    @Test
    void refusesTextThatIsNotUtf8() throws IOException {
        byte[] bytes = HostileSafetensors.bytes("{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                new byte[8]);
        bytes[10] = (byte) 0xff;
        refused(bytes, "UTF-8");
    }

    @Test
    void refusesMoreTensorsThanAnyModelHas() throws IOException {
        StringBuilder header = new StringBuilder("{");
        for (int i = 0; i <= 100_000; i++) {
            header.append(i == 0 ? "" : ",").append('"').append(i)
                    .append("\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}");
        }
        refused(HostileSafetensors.bytes(header.append('}').toString(), new byte[0]), "100000");
    }

    private void refused(byte[] bytes, String expected) throws IOException {
        Path path = Files.write(folder.resolve("hostile.safetensors"), bytes);
        Refusal.expect(path, expected, () -> Safetensors.open(path, Arena.ofAuto()));
    }

    /// Changes bytes of a good file at random: it is refused, or every tensor in it can be read.
    @Test
    void survivesRandomDamage() throws IOException {
        long seed = 20260101;
        Random random = new Random(seed);
        byte[] good = Files.readAllBytes(Fixtures.path("peft/layers/adapter_model.safetensors"));
        Path path = folder.resolve("damaged.safetensors");
        int refused = 0;
        for (int round = 0; round < 500; round++) {
            byte[] bad = good.clone();
            for (int change = 0; change <= round % 3; change++) {
                bad[random.nextInt(8 + 520)] = (byte) random.nextInt(256);
            }
            Files.write(path, random.nextInt(8) == 0 ? Arrays.copyOf(bad, random.nextInt(bad.length)) : bad);
            try (Arena arena = Arena.ofConfined()) {
                Safetensors file = Safetensors.open(path, arena);
                file.names().forEach(name -> file.tensor(name).data().toArray(ValueLayout.JAVA_BYTE));
            } catch (FileFormatException e) {
                refused++;
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed + ", round " + round, e);
            }
        }
        assertTrue(refused > 250, "refused " + refused + " of 500 with seed " + seed);
    }
}
