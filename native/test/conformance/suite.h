// The list of cases, and how one is judged.
//
// Tiers: bound (real numbers against the model's double, each element within what its Real allows), exact
// (Problem::exact: the bits of the model), aggregate (the normalised mean squared error, recorded). Every case must
// also reject zeros and each of its mistakes.
#pragma once

#include "device.h"

#include <map>

namespace conformance {

struct Case {
    std::string operation;  // without nf4j_
    std::string id;         // operation/shape and options
    std::function<void(Problem &, Random &)> build;
    bool large = false;  // left out with --small
};

class Suite {
public:
    // The id is the operation and a printf format.
    void add(const char *operation, const std::string &what, std::function<void(Problem &, Random &)> build,
             bool large = false) {
        cases.push_back({operation, std::string(operation) + "/" + what, std::move(build), large});
    }

    std::vector<Case> cases;
};

std::string text(const char *format, ...) __attribute__((format(printf, 1, 2)));

void add_nf4(Suite &suite);
void add_linear(Suite &suite);
void add_dense(Suite &suite);
void add_lora(Suite &suite);
void add_lora_steps(Suite &suite);
void add_norm(Suite &suite);
void add_rope(Suite &suite);
void add_attention(Suite &suite);
void add_mlp(Suite &suite);
void add_embedding(Suite &suite);
void add_loss(Suite &suite);
void add_optim(Suite &suite);
void add_memory(Suite &suite);

// How far results are from the model: the worst error over its bound, and the largest NMSE.
struct Distance {
    double worst = 0;
    double nmse = 0;

    void include(const Distance &other);
};

// The devices of one target: 1, 2, 3 and 5 threads, where it has threads.
using Sessions = std::vector<std::unique_ptr<Session>>;
Sessions open_sessions(const Target &target);

// The bits of a portable problem's outputs, from the first target that ran it.
using Bits = std::vector<std::vector<char>>;

// Whether anything comes out: there is nothing where there are no tokens.
bool has_results(const Problem &problem);

// Why the case cannot tell right from wrong, or empty.
std::string lacks_power(const Problem &problem);

struct Verdict {
    std::string wrong, skipped;  // what is wrong, or why the backend does not do this (NF4J_UNSUPPORTED); empty
    Distance distance;
};

// Runs the problem on one target in every way, and `repeats` times on each of two streams at once.
Verdict judge(const Problem &problem, const Sessions &sessions, int repeats, Bits *portable);

// What differs, or empty: the bits of the matrices `same`, or of all outputs.
std::string compare_bits(const Problem &problem, const Bits &actual, const Bits &expected,
                         const std::vector<int> &same);

// Whether the interposer of test/faults is loaded.
bool can_inject_faults();
// Runs the problem with each launch, copy and wait failing in turn: the status says so, nothing but outputs has changed,
// and the next call is right.
Verdict judge_faults(const Problem &problem, const Session &session);

}  // namespace conformance
