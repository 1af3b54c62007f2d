// The global norm of gradients, and AdamW with 32-bit and 8-bit state.
#include "suite.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace conformance {

namespace {

const std::vector<std::vector<int64_t>> size_lists = {{}, {1}, {255, 7, 0, 256}, {257, 1000}, {33, 20001, 512}};

std::string describe(const std::vector<int64_t> &sizes) {
    std::string what = "n";
    for (size_t i = 0; i < sizes.size(); i++) what += text(i ? "+%d" : "%d", static_cast<int>(sizes[i]));
    return what;
}

bool is_large(const std::vector<int64_t> &sizes) {
    return std::any_of(sizes.begin(), sizes.end(), [](int64_t n) { return n > 10000; });
}

float *floats(const nf4j_tensor *t) { return static_cast<float *>(t->data); }

void build_norm(const std::vector<int64_t> &sizes, float max_norm, Problem &p, Random &random) {
    std::vector<int> grads;
    for (int64_t n : sizes) grads.push_back(p.input("grad", 1, n, NF4J_F32));
    for (int grad : grads) p[grad].normals(random, 0.1);
    const int norm = p.output("norm", 1, 2, NF4J_F32);
    p.invoke = [=](const Call &call) {
        std::vector<nf4j_adamw_parameter> parameters;
        for (int grad : grads)
            parameters.push_back({nullptr, floats(call[grad]), nullptr, nullptr, nullptr, call[grad]->cols});
        return nf4j_optim_global_norm(call.stream, parameters.data(), static_cast<int64_t>(parameters.size()), max_norm,
                                      call[norm]);
    };
    p.model = [=](Problem &q) {
        Sum squares;
        for (int grad : grads) {
            for (double g : q[grad].values) squares.add(Real(g) * g);
        }
        const Real length = sqrt(squares), factor = Real(max_norm) / (length + Real(1e-6));
        q.expect(norm, 0, 0, length);
        const auto clamped = [&](double f) { return max_norm > 0 ? rounded(NF4J_F32, std::min(1.0, f)) : 1; };
        q.expect_between(norm, 0, 1, clamped(factor.value - factor.error), clamped(factor.value),
                         clamped(factor.value + factor.error));
    };
    for (size_t i = 0; i < grads.size(); i++) {
        if (sizes[i] == 0) continue;
        const int grad = grads[i];
        p.mistakes.push_back(
            {text("parameter %zu left out", i), [=](Problem &q) { q[grad].fill([](int64_t, int64_t) { return 0; }); }});
        p.mistakes.push_back(
            {text("the last element of parameter %zu left out", i), [=](Problem &q) { q[grad].values.back() = 0; }});
        p[grad].values.back() = 3;
    }
}

struct Adamw {
    float learning_rate = 0.01f, beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f, weight_decay = 0.1f;
    int64_t step = 1;
    float grad_scale = 0;  // 0: null
    bool in_8_bits = false;
};

struct Parameter {
    int param, grad, m, v, absmax;
    int64_t n;

    int64_t blocks() const { return (n + 255) / 256; }
};

// The states of element i, as numbers.
Real state(const Problem &p, const Parameter &a, bool second, int64_t i) {
    const Matrix &m = p.matrices[static_cast<size_t>(second ? a.v : a.m)];
    if (a.absmax == none) return m.at(0, i);
    const double value = dynamic_values(!second)[static_cast<size_t>(m.at(0, i))];
    const double scale = p.matrices[static_cast<size_t>(a.absmax)].at(0, (second ? a.blocks() : 0) + i / 256);
    return from_table(value) * Real(scale);
}

// One block of 256 states: its scale is the largest magnitude, and codes are the nearest to what is divided by it.
void expect_codes(Problem &p, const Parameter &a, bool second, int64_t block, const std::vector<Real> &states) {
    double low = 0, largest = 0, high = 0;
    for (const Real &s : states) {
        low = std::max(low, std::fabs(s.value) - s.error);
        largest = std::max(largest, std::fabs(s.value));
        high = std::max(high, std::fabs(s.value) + s.error);
    }
    const auto element = [](double x) { return rounded(NF4J_F32, x); };
    p.expect_between(a.absmax, 0, (second ? a.blocks() : 0) + block, element(low), largest, element(high));
    const Real scale = {largest, high - low};
    for (size_t i = 0; i < states.size(); i++) {
        const Real x = largest > 0 ? states[i] / scale : Real(0);
        p.expect_nearest(second ? a.v : a.m, 0, block * 256 + static_cast<int64_t>(i), dynamic_values(!second), x);
    }
}

void model(const Adamw &c, const std::vector<Parameter> &parameters, int scale, Problem &p) {
    const auto t = static_cast<double>(c.step);
    const Real one = 1, b1 = c.beta1, b2 = c.beta2, decay = one - Real(c.learning_rate) * Real(c.weight_decay);
    const Real rate = Real(c.learning_rate) / rounding(1 - std::pow(c.beta1, t), 0);
    const Real correction = sqrt(rounding(1 - std::pow(c.beta2, t), 0));
    for (const Parameter &a : parameters) {
        for (int64_t block = 0; block < a.blocks(); block++) {
            std::vector<Real> firsts, seconds;
            for (int64_t i = block * 256; i < std::min(a.n, block * 256 + 256); i++) {
                const Real g = scale == none ? Real(p[a.grad].at(0, i)) : Real(p[a.grad].at(0, i)) * p[scale].at(0, 0);
                const Real m = b1 * state(p, a, false, i) + (one - b1) * g;
                const Real v = b2 * state(p, a, true, i) + (one - b2) * g * g;
                const Real change = rate * m / (sqrt(v) / correction + Real(c.eps));
                p.expect(a.param, 0, i, Real(p[a.param].at(0, i)) * decay - change);
                firsts.push_back(m);
                seconds.push_back(v);
                if (a.absmax != none) continue;
                p.expect(a.m, 0, i, m);
                p.expect(a.v, 0, i, v);
            }
            if (a.absmax == none) continue;
            expect_codes(p, a, false, block, firsts);
            expect_codes(p, a, true, block, seconds);
        }
    }
}

// Some elements have never had a gradient, nor have the whole blocks of every second parameter.
void fill_states(Problem &p, const Parameter &a, bool fresh, Random &random) {
    const auto untouched = [&](int64_t i) { return fresh || i % 9 == 4; };
    p[a.param].normals(random);
    p[a.grad].fill([&](int64_t, int64_t i) { return untouched(i) ? 0 : 0.01 * normal(random); });
    if (a.absmax == none) {
        p[a.m].fill([&](int64_t, int64_t i) { return untouched(i) ? 0 : 0.01 * normal(random); });
        p[a.v].fill([&](int64_t, int64_t i) { return untouched(i) ? 0 : 1e-4 * std::exp(normal(random)); });
        return;
    }
    p[a.m].fill([&](int64_t, int64_t i) {
        return untouched(i) ? nearest(dynamic_values(true), 0) : i == 0 ? 250 : integer(random, 0, 255);
    });
    p[a.v].fill([&](int64_t, int64_t i) { return untouched(i) ? 0 : integer(random, 1, 255); });
    p[a.absmax].fill(
        [&](int64_t, int64_t b) { return fresh ? 0 : std::exp(normal(random)) * (b < a.blocks() ? 0.01 : 1e-4); });
}

nf4j_adamw_options options_of(const Adamw &c) {
    return {sizeof(nf4j_adamw_options), c.learning_rate, c.beta1, c.beta2, c.eps, c.weight_decay, c.step, nullptr};
}

// The factors of a step are numbers of the host, the same on every backend.
void build_adamw_step(const Adamw &c, Problem &p) {
    const int step = p.output("step", 1, sizeof(nf4j_adamw_step), NF4J_U8);
    p.align(step);
    p.exact = p.portable = true;
    p.invoke = [=](const Call &call) {
        const nf4j_adamw_options options = options_of(c);
        return nf4j_optim_adamw_step(call.stream, &options, static_cast<nf4j_adamw_step *>(call[step]->data));
    };
    const auto model = [=](const Adamw &of, Problem &q) {
        const double lr = of.learning_rate, t = static_cast<double>(of.step);
        const nf4j_adamw_step factors = {1 - lr * of.weight_decay, lr / (1 - std::pow(of.beta1, t)),
                                         std::sqrt(1 - std::pow(of.beta2, t))};
        unsigned char bytes[sizeof factors];
        std::memcpy(bytes, &factors, sizeof factors);
        for (size_t i = 0; i < sizeof bytes; i++) q.expect(step, 0, static_cast<int64_t>(i), bytes[i]);
    };
    p.model = [=](Problem &q) { model(c, q); };
    Adamw wrong = c;
    wrong.step++;
    p.mistakes.push_back({"the next step", [=](Problem &q) { q.model = [=](Problem &r) { model(wrong, r); }; }});
}

void build_adamw(const std::vector<int64_t> &sizes, const Adamw &c, Problem &p, Random &random) {
    const int scale = c.grad_scale > 0 ? p.input("grad_scale", 1, 1, NF4J_F32) : none;
    if (scale != none) p[scale].fill([&](int64_t, int64_t) { return c.grad_scale; });
    std::vector<Parameter> parameters;
    const int32_t state_type = c.in_8_bits ? NF4J_U8 : NF4J_F32;
    for (int64_t n : sizes) {
        Parameter a = {p.output("param", 1, n, NF4J_F32),
                       p.input("grad", 1, n, NF4J_F32),
                       p.output("m", 1, n, state_type),
                       p.output("v", 1, n, state_type),
                       none,
                       n};
        if (c.in_8_bits) a.absmax = p.output("absmax", 1, 2 * a.blocks(), NF4J_F32);
        fill_states(p, a, parameters.size() == 2, random);
        parameters.push_back(a);
    }
    const auto update = [=](const Call &call, const nf4j_adamw_options &options) {
        std::vector<nf4j_adamw_parameter> list;
        for (const Parameter &a : parameters) {
            list.push_back({floats(call[a.param]), floats(call[a.grad]), call[a.m]->data, call[a.v]->data,
                            a.absmax == none ? nullptr : floats(call[a.absmax]), a.n});
        }
        return nf4j_optim_adamw(call.stream, &options, list.data(), static_cast<int64_t>(list.size()),
                                scale == none ? nullptr : floats(call[scale]));
    };
    p.invoke = [=](const Call &call) { return update(call, options_of(c)); };
    p.variants.push_back({"factors in device memory",
                          [=](const Call &call) {
                              nf4j_adamw_options options = options_of(c);
                              void *memory = nullptr;
                              must(nf4j_memory_alloc(call.device, sizeof(nf4j_adamw_step), &memory), "memory_alloc");
                              auto *step = static_cast<nf4j_adamw_step *>(memory);
                              int32_t status = nf4j_optim_adamw_step(call.stream, &options, step);
                              options.device_step = step;
                              options.learning_rate = options.weight_decay = 0;  // not what counts
                              options.step = 0;
                              if (status == NF4J_OK) status = update(call, options);
                              if (status == NF4J_OK) status = nf4j_stream_synchronize(call.stream);
                              must(nf4j_memory_free(call.device, memory), "memory_free");
                              return status;
                          },
                          {}});
    p.model = [=](Problem &q) { model(c, parameters, scale, q); };
    if (sizes.empty()) return;
    const auto mistake = [&](const char *name, const Adamw &wrong) {
        p.mistakes.push_back(
            {name, [=](Problem &q) { q.model = [=](Problem &r) { model(wrong, parameters, scale, r); }; }});
    };
    Adamw wrong = c;
    wrong.step += 10;
    mistake("a later step's correction", wrong);
    wrong = c;
    wrong.weight_decay = 0;
    mistake("no decay", wrong);
    wrong = c;
    std::swap(wrong.beta1, wrong.beta2);
    mistake("beta1 for beta2", wrong);
    if (scale != none) {
        p.mistakes.push_back(
            {"a missing scale", [=](Problem &q) { q[scale].fill([](int64_t, int64_t) { return 1; }); }});
    }
    const Parameter first = parameters[0];
    p.mistakes.push_back({"the gradient of the element beside", [=](Problem &q) {
                              std::vector<double> &g = q[first.grad].values;
                              std::rotate(g.begin(), g.end() - 1, g.end());
                              g[0] += 0.01;
                          }});
    if (!c.in_8_bits) return;
    p.mistakes.push_back({"the scale of v for m", [=](Problem &q) {
                              std::vector<double> &scales = q[first.absmax].values;
                              std::rotate(scales.begin(), scales.begin() + first.blocks(), scales.end());
                          }});
}

}  // namespace

void add_optim(Suite &suite) {
    for (int64_t step : {1, 2, 1000, 20000}) {
        Adamw c;
        c.step = step;
        suite.add("optim_adamw_step", text("step%d", static_cast<int>(step)),
                  [=](Problem &p, Random &) { build_adamw_step(c, p); });
    }
    for (const std::vector<int64_t> &sizes : size_lists) {
        for (float max_norm : {0.0f, 0.5f, 1e6f}) {
            suite.add(
                "optim_global_norm", describe(sizes) + text("-max%g", static_cast<double>(max_norm)),
                [=](Problem &p, Random &random) { build_norm(sizes, max_norm, p, random); }, is_large(sizes));
        }
        for (bool in_8_bits : {false, true}) {
            Adamw first, later;
            first.in_8_bits = later.in_8_bits = in_8_bits;
            later.step = 100;
            later.grad_scale = 0.37f;
            later.beta1 = 0.8f;
            for (const Adamw &c : {first, later}) {
                suite.add(
                    "optim_adamw",
                    describe(sizes) + text("-step%d-%s", static_cast<int>(c.step), in_8_bits ? "8bit" : "32bit"),
                    [=](Problem &p, Random &random) { build_adamw(sizes, c, p, random); }, is_large(sizes));
            }
        }
    }
}

}  // namespace conformance
