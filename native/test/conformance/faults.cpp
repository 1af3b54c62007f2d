// Each launch, copy and wait of a call failing in turn.
#include "../faults/interpose.h"
#include "suite.h"

#include <cstring>

// Only there when libinterpose.so was loaded before libnf4j-simt.
#pragma weak nf4j_fault_driver_at
#pragma weak nf4j_fault_driver_calls

namespace conformance {

bool can_inject_faults() { return nf4j_fault_driver_at != nullptr; }

namespace {

// The call with its n-th step failing: it has to say so. Sets *reached to whether there is such a step.
int32_t with_fault(const Call &call, const Invoke &invoke, int n, bool *reached) {
    constexpr int32_t injected = NF4J_BACKEND_UNAVAILABLE;  // no operation gives it of its own accord
    nf4j_fault_driver_at(n, injected);
    int32_t status = invoke(call);
    if (status == NF4J_OK) status = nf4j_stream_synchronize(call.stream);
    *reached = nf4j_fault_driver_calls() >= n;
    nf4j_fault_driver_at(0, NF4J_OK);
    if (!*reached) return status;
    return status == injected && std::strncmp(nf4j_last_error(), "simt: ", 6) == 0 ? NF4J_OK : NF4J_INTERNAL;
}

}  // namespace

Verdict judge_faults(const Problem &problem, const Session &session) {
    Verdict verdict;
    const Outcome first = run(problem, problem.invoke, session, 0);
    (first.status == NF4J_UNSUPPORTED ? verdict.skipped : verdict.wrong) = first.problem;
    bool reached = true;
    for (int n = 1; first.problem.empty() && verdict.wrong.empty() && reached; n++) {
        const Invoke failing = [&](const Call &call) { return with_fault(call, problem.invoke, n, &reached); };
        const Outcome failed = run(problem, failing, session, 0);
        if (failed.status != NF4J_OK) {
            verdict.wrong = text("step %d failed, and the call did not say so", n);
        } else if (!failed.problem.empty()) {
            verdict.wrong = text("step %d failed: ", n) + failed.problem;
        } else {
            const Outcome next = run(problem, problem.invoke, session, 0);
            verdict.wrong =
                next.problem.empty() ? compare_bits(problem, next.outputs, first.outputs, {}) : next.problem;
            if (!verdict.wrong.empty()) verdict.wrong = text("the call after a failed step %d: ", n) + verdict.wrong;
        }
    }
    return verdict;
}

}  // namespace conformance
