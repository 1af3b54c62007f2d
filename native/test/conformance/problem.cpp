#include "device.h"

#include <algorithm>

namespace conformance {

bool Matrix::is_right(size_t index, double element) const {
    if (std::isnan(exact[index])) return std::isnan(element);
    return low[index] <= element && element <= high[index];
}

int32_t Call::with_workspace(int64_t bytes, const Invoke &invoke) const {
    nf4j_stream_options options = {};
    options.struct_size = sizeof options;
    options.workspace_bytes = bytes;
    Call call = *this;
    int32_t status = nf4j_stream_synchronize(stream);  // the other stream must not begin before the inputs are there
    if (status == NF4J_OK) status = nf4j_stream_create(device, &options, &call.stream);
    if (status != NF4J_OK) return status;
    status = invoke(call);
    const int32_t synchronized = nf4j_stream_synchronize(call.stream);
    nf4j_stream_destroy(call.stream);
    return synchronized == NF4J_OK ? status : synchronized;
}

Call Call::part(int64_t first, int64_t count) const {
    Call part = *this;
    for (size_t i = 0; i < tensors.size(); i++) {
        nf4j_tensor &t = part.tensors[i];
        if (tokens[i] == Tokens::none) continue;
        const int64_t step = tokens[i] == Tokens::rows ? t.ld : 1;
        t.data = static_cast<char *>(t.data) + first * step * size_of(t.dtype);
        (tokens[i] == Tokens::rows ? t.rows : t.cols) = count;
    }
    return part;
}

Call Call::in_place(int from, int to) const {
    Call call = *this;
    call.tensors[static_cast<size_t>(from)] = *(*this)[to];
    nf4j_memory_copy(stream, (*this)[from], (*this)[to]);
    return call;
}

namespace {

Matrix make(const char *name, int64_t rows, int64_t cols, int32_t dtype, Tokens tokens, bool is_output) {
    const double untouched = !is_output ? 0 : is_float(dtype) ? NAN : 0x55;
    return {
        name, rows, cols, dtype, tokens, is_output, 3, std::vector<double>(static_cast<size_t>(rows * cols), untouched),
        {},   {},   {},   {},    false};
}

}  // namespace

int Problem::input(const char *name, int64_t rows, int64_t cols, int32_t dtype, Tokens tokens) {
    matrices.push_back(make(name, rows, cols, dtype, tokens, false));
    return static_cast<int>(matrices.size()) - 1;
}

int Problem::output(const char *name, int64_t rows, int64_t cols, int32_t dtype, Tokens tokens) {
    Matrix m = make(name, rows, cols, dtype, tokens, true);
    m.exact = m.error = m.low = m.high = m.values;
    matrices.push_back(m);
    return static_cast<int>(matrices.size()) - 1;
}

void Problem::align(int matrix) {
    Matrix &m = (*this)[matrix];
    const int64_t step = 16 / size_of(m.dtype);
    m.gap = (step - m.cols % step) % step + step;
    m.aligned = true;
}

void Problem::move() {
    for (size_t i = 0; i < matrices.size(); i++) {
        if (!matrices[i].aligned) {
            align(static_cast<int>(i));
            continue;
        }
        matrices[i].aligned = false;
        matrices[i].gap = 3;
    }
}

void Problem::expect(int matrix, int64_t i, int64_t j, Real result) {
    const int32_t dtype = (*this)[matrix].dtype;
    const double error = exact ? 0 : result.error;
    expect_between(matrix, i, j, rounded(dtype, result.value - error), result.value,
                   rounded(dtype, result.value + error));
    (*this)[matrix].error[static_cast<size_t>(i * (*this)[matrix].cols + j)] = error;
}

void Problem::expect_between(int matrix, int64_t i, int64_t j, double low, double exact_value, double high) {
    Matrix &m = (*this)[matrix];
    const auto index = static_cast<size_t>(i * m.cols + j);
    m.exact[index] = exact_value;
    m.error[index] = 0;
    m.low[index] = low;
    m.high[index] = high;
}

void Problem::expect_nearest(int matrix, int64_t i, int64_t j, const std::vector<double> &values, Real x) {
    const double error =
        x.error + from_table(x.value).error + f32_unit * std::fabs(x.value);  // the table, the distance
    const auto code = [&](double at) { return static_cast<double>(nearest(values, at)); };
    expect_between(matrix, i, j, code(x.value - error), code(x.value), code(x.value + error));
}

void Problem::starved(int64_t workspace_bytes) {
    invoke = [workspace_bytes, whole = invoke](const Call &call) {
        const int32_t status = call.with_workspace(workspace_bytes, whole);
        return status == NF4J_OUT_OF_MEMORY ? NF4J_OK : status == NF4J_OK ? NF4J_INTERNAL : status;
    };
    model = [](Problem &p) {
        for (Matrix &m : p.matrices) {
            if (m.is_output) m.exact = m.error = m.low = m.high = m.values;
        }
    };
    capturable = false;  // the call makes a stream
    variants.clear();
    mistakes.clear();
}

void Problem::tokens_alone() {
    tokens_alone([](const Call &, int64_t) { return std::string(); });
}

void Problem::tokens_alone(int32_t operation, int64_t n, int64_t k, int32_t dtype) {
    tokens_alone([=](const Call &call, int64_t tokens) {
        char explained[512];
        must(nf4j_explain(call.stream, operation, tokens, n, k, dtype, explained, sizeof explained), "explain");
        const std::string all = explained;
        return all.substr(0, all.find(','));
    });
}

void Problem::tokens_alone(const KernelOf &kernel_of) {
    Variant variant = {"a few tokens at a time", {}, {}};
    int64_t count = 0;
    for (size_t i = 0; i < matrices.size(); i++) {
        const Matrix &m = matrices[i];
        if (m.tokens == Tokens::none) continue;
        count = m.tokens == Tokens::rows ? m.rows : m.cols;
        if (m.is_output) variant.same.push_back(static_cast<int>(i));
    }
    variant.invoke = [count, kernel_of, whole = invoke](const Call &call) {
        static constexpr int64_t sizes[] = {1, 3, 1, 2, 4, 14, 5, 64, 30};
        const std::string kernel = kernel_of(call, count);
        const auto same_kernel = [&](int64_t tokens) { return tokens == 0 || kernel_of(call, tokens) == kernel; };
        int32_t status = NF4J_OK;
        int64_t size = 0;
        for (int64_t first = 0, i = 0; first < count && status == NF4J_OK; first += size, i++) {
            const int64_t left = count - first;
            size = std::min(sizes[i % 9], left);
            while (!same_kernel(size) || !same_kernel(left - size)) size++;  // all that are left have it
            status = whole(call.part(first, size));
        }
        return status;
    };
    if (count > 1) variants.push_back(variant);
}

void Problem::off_by_one_row(int matrix) {
    if ((*this)[matrix].rows < 2) return;
    mistakes.push_back({"the row beside the right one of " + (*this)[matrix].name, [matrix](Problem &p) {
                            std::vector<double> &values = p[matrix].values;
                            std::rotate(values.begin(), values.begin() + p[matrix].cols, values.end());
                        }});
}

void Problem::off_by_one_column(int matrix) {
    if ((*this)[matrix].cols < 2) return;
    mistakes.push_back({"the column beside the right one of " + (*this)[matrix].name, [matrix](Problem &p) {
                            std::vector<double> &values = p[matrix].values;
                            for (int64_t i = 0; i < p[matrix].rows; i++) {
                                const auto row = values.begin() + i * p[matrix].cols;
                                std::rotate(row, row + 1, row + p[matrix].cols);
                            }
                        }});
}

void Problem::decoded_wrongly(int weight) {
    const auto number = static_cast<size_t>(weight);
    mistakes.push_back({"swapped nibbles", [=](Problem &p) {
                            for (uint8_t &pair : p.weights[number].codes) {
                                pair = static_cast<uint8_t>(pair << 4 | pair >> 4);
                            }
                        }});
    if (weights[number].blocks() < 2) return;
    mistakes.push_back({"the scale of the next block", [=](Problem &p) {
                            Nf4 &w = p.weights[number];
                            if (w.nested)
                                std::rotate(w.absmax8.begin(), w.absmax8.begin() + 1, w.absmax8.end());
                            else
                                std::rotate(w.absmax.begin(), w.absmax.begin() + 1, w.absmax.end());
                        }});
}

}  // namespace conformance
