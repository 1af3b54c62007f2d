package io.github.nf4j.io;

import com.fasterxml.jackson.databind.JsonNode;
import io.github.nf4j.DType;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Optional;

/// A matrix that bitsandbytes packed as NF4, as it lies in a checkpoint. All segments may be unaligned.
///
/// Block `b` of the flattened matrix is `quantMap[code] · scale(b)`, where `scale(b)` is `absmax[b]`, or
/// `nestedMap[absmax[b]] · nestedAbsmax[b / nestedBlockSize] + nestedOffset` if the scales are quantized too.
///
/// @param shape           `[out, in]`
/// @param blockSize       elements that share a scale
/// @param codes           `ceil(elements / 2)` bytes; the even element is in the high nibble
/// @param absmax          a scale a block: F32, or U8 indices into `nested.map`
/// @param quantMap        F32\[16\], the value of each code
/// @param nested          how the scales are quantized; empty if they are not
/// @param dtype           type of the matrix before it was packed
public record BnbWeight(long[] shape, int blockSize, MemorySegment codes, MemorySegment absmax, MemorySegment quantMap,
        Optional<Nested> nested, DType dtype) {
    private static final int CODES = 16;
    private static final int MAP_ENTRIES = 256;
    private static final String STATE = ".quant_state.bitsandbytes__";

    /// Double quantization of the scales.
    ///
    /// @param blockSize scales that share an entry of `absmax`
    /// @param absmax    F32, an entry for each block of scales
    /// @param map       F32\[256\]
    /// @param offset    added to every scale
    public record Nested(int blockSize, MemorySegment absmax, MemorySegment map, float offset) {
    }

    /// Number of blocks, which is the number of scales.
    public long blocks() {
        return Math.ceilDiv(Shapes.elements(shape), blockSize);
    }

    static BnbWeight read(SafetensorsWeights weights, String name) {
        Path file = weights.file(name);
        if (weights.has(name + STATE + "fp4")) {
            throw new FileFormatException(file, "tensor '" + name + "'", "is packed as fp4; nf4j reads nf4");
        }
        RawTensor stateText = weights.tensor(name + STATE + "nf4");
        JsonObject state = JsonObject.parse(file, "tensor '" + stateText.name() + "'",
                JsonObject.decodeUtf8(file, stateText.name(), part(weights, name + STATE + "nf4", DType.U8,
                        stateText.elements()).asByteBuffer()));
        if (!state.string("quant_type").equals("nf4")) {
            throw state.problem("quant_type", "'" + state.string("quant_type") + "' is not supported; nf4j reads nf4");
        }
        long[] shape = shape(state);
        long elements = Shapes.elements(shape);
        int blockSize = state.integer("blocksize", 1, 1 << 16);
        long blocks = Math.ceilDiv(elements, blockSize);
        boolean nested = state.has("nested_blocksize");
        return new BnbWeight(shape, blockSize,
                part(weights, name, DType.U8, Math.ceilDiv(elements, 2)),
                part(weights, name + ".absmax", nested ? DType.U8 : DType.F32, blocks),
                part(weights, name + ".quant_map", DType.F32, CODES),
                nested ? Optional.of(nested(weights, name, state, blocks)) : Optional.empty(),
                dtype(state));
    }

    private static Nested nested(SafetensorsWeights weights, String name, JsonObject state, long blocks) {
        if (!state.string("nested_dtype", "float32").equals("float32")) {
            throw state.problem("nested_dtype", "'" + state.string("nested_dtype")
                    + "' is not supported; expected float32");
        }
        int blockSize = state.integer("nested_blocksize", 1, 1 << 16);
        return new Nested(blockSize,
                part(weights, name + ".nested_absmax", DType.F32, Math.ceilDiv(blocks, blockSize)),
                part(weights, name + ".nested_quant_map", DType.F32, MAP_ENTRIES),
                (float) state.number("nested_offset"));
    }

    /// The data of a tensor with `count` elements of a type.
    private static MemorySegment part(SafetensorsWeights weights, String name, DType dtype, long count) {
        RawTensor tensor = weights.tensor(name);
        if (tensor.dtype() != dtype || tensor.elements() != count) {
            throw new FileFormatException(weights.file(name), "tensor '" + name + "'", tensor.dtype() + " with "
                    + tensor.elements() + " elements; by the quantization state it is " + dtype + " with " + count);
        }
        if (dtype == DType.F32) {
            Decoders.requireFinite(weights.file(name), tensor);
        }
        return tensor.data();
    }

    private static long[] shape(JsonObject state) {
        JsonNode sizes = state.get("shape");
        if (sizes == null || !sizes.isArray() || sizes.size() != 2 || !sizes.path(0).canConvertToInt()
                || !sizes.path(1).canConvertToInt() || sizes.path(0).intValue() < 1 || sizes.path(1).intValue() < 1) {
            throw state.problem("shape", "expected two sizes, found " + sizes);
        }
        return new long[] {sizes.path(0).intValue(), sizes.path(1).intValue()};
    }

    private static DType dtype(JsonObject state) {
        String dtype = state.string("dtype");
        return switch (dtype) {
            case "float32" -> DType.F32;
            case "float16" -> DType.F16;
            case "bfloat16" -> DType.BF16;
            default -> throw state.problem("dtype", "'" + dtype + "' is not supported");
        };
    }
}
