// The conformance suite: every operation of nf4j.h on every backend, against models in double.
//
//   conformance --backend reference|cpu|simt|cuda|all [--isa NAME] [--op REGEX] [--case ID] [--seed N] [--small]
//   [--list] [--faults]
//
// --faults runs each case with every launch failing in turn, on simt.
//
// Prints a table of operations and backends: cases that ran, and their worst error over its bound. Exits with 1 when a
// case failed, or when none ran.
#include "current_case.h"
#include "suite.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <regex>
#include <set>

using namespace conformance;

namespace {

struct Options {
    std::string backend = "all", isa, operation, id;
    uint64_t seed = 20260101;
    bool small = false, list = false, faults = false;
};

int usage() {
    std::fputs(
        "usage: conformance [--backend reference|cpu|simt|cuda|all] [--isa NAME] [--op REGEX] [--case ID] [--seed N] "
        "[--small] [--list] [--faults]\n",
        stderr);
    return 2;
}

bool parse(int count, char **arguments, Options *options) {
    for (int i = 1; i < count; i++) {
        const std::string name = arguments[i];
        bool *flag = name == "--small"    ? &options->small
                     : name == "--list"   ? &options->list
                     : name == "--faults" ? &options->faults
                                          : nullptr;
        if (flag) {
            *flag = true;
            continue;
        }
        if (++i == count) return false;
        if (name == "--backend")
            options->backend = arguments[i];
        else if (name == "--isa")
            options->isa = arguments[i];
        else if (name == "--op")
            options->operation = arguments[i];
        else if (name == "--case")
            options->id = arguments[i];
        else if (name == "--seed")
            options->seed = std::strtoull(arguments[i], nullptr, 10);
        else
            return false;
    }
    return true;
}

std::vector<Case> select_cases(const Options &options) {
    Suite suite;
    add_nf4(suite);
    add_linear(suite);
    add_dense(suite);
    add_lora(suite);
    add_lora_steps(suite);
    add_norm(suite);
    add_rope(suite);
    add_attention(suite);
    add_mlp(suite);
    add_embedding(suite);
    add_loss(suite);
    add_optim(suite);
    add_memory(suite);
    std::vector<Case> selected;
    const std::regex operation(options.operation);
    for (const Case &c : suite.cases) {
        const bool wanted = options.id.empty() ? std::regex_search(c.operation, operation) : c.id == options.id;
        if (wanted && !(options.small && c.large)) selected.push_back(c);
    }
    return selected;
}

// A case gets the same numbers whatever runs before it.
uint64_t seed_of(const Case &c, uint64_t seed) {
    for (char letter : c.id) seed = (seed ^ static_cast<uint8_t>(letter)) * 0x100000001b3u;
    return seed;
}

struct Cell {
    int executed = 0, failed = 0;
    bool repeated = false;
    Distance distance;
};

// The table: a row for each operation, a column for each target that could be opened.
class Table {
public:
    explicit Table(std::vector<Target> targets) : targets_(std::move(targets)) {}

    Cell &at(const std::string &operation, size_t target) {
        if (rows_.find(operation) == rows_.end()) order_.push_back(operation);
        auto &row = rows_[operation];
        row.resize(targets_.size());
        return row[target];
    }

    void skip(const std::string &what, const Target &target, const std::string &why) {
        skipped_[what + ": " + why].insert(target.name);
    }

    // Returns how many cases ran.
    int print() {
        std::printf("\n%-28s", "cases, worst error / bound");
        for (const Target &t : targets_) {
            if (t.missing.empty()) std::printf("%14s", t.name.c_str());
        }
        std::printf("%12s\n", "worst NMSE");
        int executed = 0;
        for (const std::string &operation : order_) {
            std::printf("%-28s", operation.c_str());
            double nmse = 0;
            for (size_t t = 0; t < targets_.size(); t++) {
                const Cell &cell = rows_[operation][t];
                if (!targets_[t].missing.empty()) continue;
                if (cell.failed > 0)
                    std::printf("%7d failed", cell.failed);
                else
                    std::printf("%8d%6.2f", cell.executed, cell.distance.worst);
                executed += cell.executed;
                nmse = std::fmax(nmse, cell.distance.nmse);
            }
            std::printf("%12.1e\n", nmse);
        }
        for (const Target &t : targets_) {
            if (!t.missing.empty()) std::printf("skipped %s: %s\n", t.name.c_str(), t.missing.c_str());
        }
        for (const auto &[what, where] : skipped_) {
            std::printf("skipped on");
            for (const std::string &name : where) std::printf(" %s", name.c_str());
            std::printf(": %s\n", what.c_str());
        }
        return executed;
    }

private:
    std::vector<Target> targets_;
    std::vector<std::string> order_;
    std::map<std::string, std::set<std::string>> skipped_;  // the case and the reason: where
    std::map<std::string, std::vector<Cell>> rows_;
};

// The command that runs the case again, as it was. Bits that differ from another backend's need both.
std::string repeating(const Case &c, const Target *target, bool portable, const Options &options) {
    const char *schedule = std::getenv("NF4J_SIMT_SCHEDULE");
    std::string where = target ? target->arguments : "--backend reference";
    if (portable) where = "--backend " + options.backend + (options.isa.empty() ? "" : " --isa " + options.isa);
    return (schedule ? std::string("NF4J_SIMT_SCHEDULE=") + schedule + " " : "") +
           (options.faults ? "LD_PRELOAD=build/native/test/libinterpose.so " : "") + "build/native/test/conformance " +
           where + (options.faults ? " --faults" : "") + " --case '" + c.id + "' --seed " +
           std::to_string(options.seed);
}

// What is wrong, and how to see it again.
std::string failure(const Case &c, const Target *target, const std::string &wrong, bool portable,
                    const Options &options) {
    return "FAILED " + c.id + (target ? " on " + target->name : "") + ": " + wrong + "\n  " +
           repeating(c, target, portable, options) + "\n";
}

// The first of many failures.
void report(const std::string &words) {
    static int reports = 0;
    if (++reports <= 20) std::fputs(words.c_str(), stderr);
}

}  // namespace

int main(int count, char **arguments) {
    Options options;
    if (!parse(count, arguments, &options)) return usage();
    const std::vector<Case> cases = select_cases(options);
    if (options.list) {
        for (const Case &c : cases) std::printf("%s%s\n", c.id.c_str(), c.large ? " (large)" : "");
        return cases.empty();
    }
    if (options.faults && (options.backend != "simt" || !can_inject_faults())) {
        std::fputs("--faults is for --backend simt, with LD_PRELOAD=build/native/test/libinterpose.so\n", stderr);
        return 2;
    }
    const std::vector<Target> targets = find_targets(options.backend, options.isa);
    std::vector<Sessions> sessions;
    for (const Target &t : targets) sessions.push_back(t.missing.empty() ? open_sessions(t) : Sessions());
    Table table(targets);
    const std::string midst = "the run ended in its midst";
    int failures = 0;
    for (const Case &c : cases) {
        set_current_case(failure(c, nullptr, midst, false, options));
        Problem problem;
        Random random(seed_of(c, options.seed));
        c.build(problem, random);
        problem.model(problem);
        const std::string powerless = lacks_power(problem);
        if (!powerless.empty()) {
            report(failure(c, nullptr, powerless, false, options));
            failures++;
        }
        Bits portable;
        for (size_t t = 0; t < targets.size(); t++) {
            Cell &cell = table.at(c.operation, t);
            if (!targets[t].missing.empty()) continue;
            if (c.large && options.backend == "all" && targets[t].backend == NF4J_BACKEND_SIMT) {
                table.skip("large cases", targets[t], "they take minutes on fibers; --backend simt runs them");
                continue;
            }
            // One case of each operation runs often enough to see what goes wrong now and then.
            const bool often = !cell.repeated && !c.large && has_results(problem);
            cell.repeated |= often;
            const auto says = [&](const std::string &wrong) {
                return failure(c, &targets[t], wrong, problem.portable, options);
            };
            set_current_case(says(midst));
            const Verdict verdict = options.faults ? judge_faults(problem, *sessions[t][0])
                                                   : judge(problem, sessions[t], often ? 10 : 3, &portable);
            if (!verdict.skipped.empty()) {
                table.skip(c.id, targets[t], verdict.skipped);
                continue;
            }
            cell.executed++;
            cell.distance.include(verdict.distance);
            if (verdict.wrong.empty()) continue;
            report(says(verdict.wrong));
            cell.failed++;
            failures++;
        }
    }
    set_current_case("");
    const int executed = table.print();
    std::printf("%d cases ran, %d failed; seed %llu\n", executed, failures,
                static_cast<unsigned long long>(options.seed));
    if (executed == 0) std::fputs("FAILED: no case ran\n", stderr);
    return failures > 0 || executed == 0;
}
