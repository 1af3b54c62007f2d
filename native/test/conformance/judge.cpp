#include "suite.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <thread>

namespace conformance {

namespace {

double element(const Matrix &m, const std::vector<char> &bytes, size_t index) {
    return decode(m.dtype, bytes.data() + index * static_cast<size_t>(size_of(m.dtype)));
}

std::string place(const Matrix &m, size_t index) {
    const auto cols = static_cast<size_t>(m.cols);
    return text("%s (%zu, %zu)", m.name.c_str(), index / cols, index % cols);
}

std::string compare_with_model(const Problem &problem, const Outcome &outcome, Distance *distance) {
    for (size_t i = 0; i < problem.matrices.size(); i++) {
        const Matrix &m = problem.matrices[i];
        double error = 0, power = 0;
        for (size_t e = 0; m.is_output && e < m.exact.size(); e++) {
            const double actual = element(m, outcome.outputs[i], e);
            if (!m.is_right(e, actual)) {
                return text("%s is %.9g, expected %.9g (%.9g ... %.9g)", place(m, e).c_str(), actual, m.exact[e],
                            m.low[e], m.high[e]);
            }
            const double difference = actual - m.exact[e],
                         before_rounding = std::fabs(difference) - half_unit(m.dtype, actual);
            if (!std::isfinite(difference)) continue;
            if (m.error[e] > 0) distance->worst = std::max(distance->worst, before_rounding / m.error[e]);
            error += difference * difference;
            power += m.exact[e] * m.exact[e];
        }
        if (power > 0 && !problem.exact) distance->nmse = std::max(distance->nmse, error / power);
    }
    return "";
}

// The call, captured into a graph that is then launched.
Invoke captured(const Invoke &invoke) {
    return [=](const Call &call) {
        int32_t status = nf4j_graph_begin(call.stream);
        if (status == NF4J_OK) status = invoke(call);
        nf4j_graph *graph = nullptr;
        const int32_t ended = nf4j_graph_end(call.stream, &graph);
        if (status == NF4J_OK) status = ended;
        if (status == NF4J_OK) status = nf4j_graph_launch(graph);
        nf4j_graph_destroy(graph);
        return status;
    };
}

// Both streams of a device at once, `repeats` times each.
std::string run_concurrently(const Problem &problem, const Session &session, int repeats, const Bits &expected) {
    std::string found[2];
    const auto repeat = [&](int stream) {
        for (int i = 0; i < repeats && found[stream].empty(); i++) {
            const Outcome again = run(problem, problem.invoke, session, stream);
            found[stream] = again.problem.empty() ? compare_bits(problem, again.outputs, expected, {}) : again.problem;
        }
    };
    std::thread other(repeat, 1);
    repeat(0);
    other.join();
    return found[0].empty() ? found[1] : found[0];
}

}  // namespace

std::string text(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char buffer[400];
    std::vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    return buffer;
}

std::string compare_bits(const Problem &problem, const Bits &actual, const Bits &expected,
                         const std::vector<int> &same) {
    for (size_t i = 0; i < problem.matrices.size(); i++) {
        const Matrix &m = problem.matrices[i];
        const bool counts = same.empty() || std::find(same.begin(), same.end(), static_cast<int>(i)) != same.end();
        if (!m.is_output || !counts || actual[i] == expected[i]) continue;
        const auto size = static_cast<size_t>(size_of(m.dtype));
        size_t e = 0;
        while (std::equal(actual[i].begin() + static_cast<int64_t>(e * size),
                          actual[i].begin() + static_cast<int64_t>((e + 1) * size),
                          expected[i].begin() + static_cast<int64_t>(e * size))) {
            e++;
        }
        return text("%s is %.9g, it was %.9g", place(m, e).c_str(), element(m, actual[i], e),
                    element(m, expected[i], e));
    }
    return "";
}

void Distance::include(const Distance &other) {
    worst = std::max(worst, other.worst);
    nmse = std::max(nmse, other.nmse);
}

Sessions open_sessions(const Target &target) {
    Sessions sessions;
    for (int32_t threads : {1, 2, 3, 5}) {
        sessions.push_back(std::make_unique<Session>(target, threads));
        if (target.backend != NF4J_BACKEND_CPU) break;
    }
    return sessions;
}

bool has_results(const Problem &problem) {
    return std::any_of(problem.matrices.begin(), problem.matrices.end(),
                       [](const Matrix &m) { return !m.exact.empty(); });
}

std::string lacks_power(const Problem &problem) {
    for (const Matrix &m : problem.matrices) {
        int64_t elements = 0, rejected = 0;
        for (size_t e = 0; m.is_output && e < m.exact.size(); e++) {
            elements += m.exact[e] != 0;
            rejected += m.exact[e] != 0 && !m.is_right(e, 0);
        }
        if (2 * rejected < elements) return "zeros would pass as " + m.name;
    }
    if (!has_results(problem)) return "";
    for (const Mistake &mistake : problem.mistakes) {
        Problem wrong = problem;
        mistake.make(wrong);
        wrong.model(wrong);
        bool rejected = false;
        for (size_t i = 0; i < wrong.matrices.size(); i++) {
            const Matrix &right = problem.matrices[i], &m = wrong.matrices[i];
            for (size_t e = 0; m.is_output && e < m.exact.size() && !rejected; e++) {
                rejected = !right.is_right(e, rounded(m.dtype, m.exact[e]));
            }
        }
        if (!rejected) return mistake.name + " would pass";
    }
    return "";
}

namespace {

// Everything that must give the bits of the first run.
std::string judge_repeats(const Problem &problem, const Sessions &sessions, int repeats, const Bits &first) {
    const auto differs = [&](const Invoke &invoke, const Session &session, int stream, const std::vector<int> &same) {
        const Outcome again = run(problem, invoke, session, stream);
        return again.problem.empty() ? compare_bits(problem, again.outputs, first, same) : again.problem;
    };
    for (const auto &session : sessions) {
        const std::string wrong = differs(problem.invoke, *session, 1, {});
        if (!wrong.empty()) return text("with %d threads: ", session->threads) + wrong;
    }
    for (const Variant &variant : problem.variants) {
        const std::string wrong = differs(variant.invoke, *sessions.back(), 0, variant.same);
        if (!wrong.empty()) return variant.name + ": " + wrong;
    }
    if (problem.anywhere) {
        Problem moved = problem;
        moved.anywhere = false;
        moved.move();
        const std::string wrong = judge_repeats(moved, sessions, repeats, first);
        if (!wrong.empty()) return "with other addresses: " + wrong;
    }
    if (problem.capturable && sessions.back()->has_graphs) {
        const std::string wrong = differs(captured(problem.invoke), *sessions.back(), 0, {});
        if (!wrong.empty()) return "captured: " + wrong;
    }
    const std::string wrong = run_concurrently(problem, *sessions.back(), repeats, first);
    return wrong.empty() ? "" : "on two streams at once: " + wrong;
}

}  // namespace

Verdict judge(const Problem &problem, const Sessions &sessions, int repeats, Bits *portable) {
    Verdict verdict;
    const Outcome first = run(problem, problem.invoke, *sessions[0], 0);
    (first.status == NF4J_UNSUPPORTED ? verdict.skipped : verdict.wrong) = first.problem;
    if (!first.problem.empty()) return verdict;
    verdict.wrong = compare_with_model(problem, first, &verdict.distance);
    if (verdict.wrong.empty()) verdict.wrong = judge_repeats(problem, sessions, repeats, first.outputs);
    if (!verdict.wrong.empty() || !problem.portable) return verdict;
    if (portable->empty()) *portable = first.outputs;
    verdict.wrong = compare_bits(problem, first.outputs, *portable, {});
    if (!verdict.wrong.empty()) verdict.wrong = "unlike the first backend: " + verdict.wrong;
    return verdict;
}

}  // namespace conformance
