// What nf4j_explain says of a product: the line of the table that it takes, and the time that the device cannot beat.
#include "cuda/device.h"
#include "cuda/devices.h"
#include "cuda/product.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

namespace nf4j::cuda {

namespace {

class Text {
public:
    Text(char *text, int64_t capacity) : text_(text), left_(static_cast<size_t>(capacity)) {}

    void add(const char *format, ...) __attribute__((format(printf, 2, 3))) {
        va_list arguments;
        va_start(arguments, format);
        const auto written = static_cast<size_t>(std::vsnprintf(text_, left_, format, arguments));
        va_end(arguments);
        const size_t used = std::min(written, left_ - 1);
        text_ += used;
        left_ -= used;
    }

private:
    char *text_;
    size_t left_;
};

// Bytes that must move once: both factors and the result.
double bytes_of(const ProductShape &s) {
    const double element = s.bf16 ? 2 : 4, m = static_cast<double>(s.m), n = static_cast<double>(s.n),
                 k = static_cast<double>(s.k);
    const double weight = s.weight == Weight::dense ? element : 4.5 / 8;  // codes, and a scale in F32 for each 64
    return n * k * weight + (m * k + m * n) * element;
}

}  // namespace

void explain_product(const ProductShape &s, const nf4j_stream *stream, char *buffer, int64_t capacity) {
    const Traits &device = traits_of(stream);
    const Choice choice = choose(s, device, stream->workspace_bytes);
    const Variant &v = *choice.variant;
    Text text(buffer, capacity);
    // Up to the first comma: what a row's bits may depend on.
    text.add("%s", v.name);
    if (choice.splits > 1) text.add(" with k in %lld parts", static_cast<long long>(choice.splits));
    text.add(", tiles of %dx%dx%d, %d stages, %lld blocks, workspace of %lld bytes: %s", v.tile_m, v.tile_n, v.depth,
             v.stages, static_cast<long long>(choice.blocks), static_cast<long long>(choice.workspace_bytes), v.why);
    const double bytes = bytes_of(s);
    const double operations = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
    text.add("; it moves %.3g MB and takes %.3g GFLOP", bytes / 1e6, operations / 1e9);
    const KnownDevice *known = find_known_device(device.name);
    if (!known) return;
    const double memory = bytes / known->bandwidth, arithmetic = operations / (s.bf16 ? known->bf16 : known->f32);
    text.add(", at least %.3g us on %s: %s", std::max(memory, arithmetic) * 1e6, known->traits.name,
             memory > arithmetic ? "memory" : "arithmetic");
}

}  // namespace nf4j::cuda
