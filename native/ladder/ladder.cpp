// Runs the rungs of docs/kernels.md on simt, checks their results, and prints what each did as a table: `make ladder`.
//
// Each rung must do better than the one below in the count that it is about; that is checked too, under several schedules.
#include "ladder/rung1_naive.cuh"
#include "ladder/rung2_shared.cuh"
#include "ladder/rung3_async.cuh"
#include "ladder/rung4_tensor.cuh"
#include "ladder/rung5_nf4.cuh"

#include "test/simt/weights.h"

using namespace nf4j;
using namespace nf4j::test;

namespace {

struct Rung {
    const char *name;
    int32_t (*run)(nf4j_stream *, const ladder::Matrices &);
    simt::Counters counters = {};
};

// x, W and what their product should be.
class Problem {
public:
    Problem(const Device &device, int64_t m, int64_t n, int64_t k)
        : m_(m),
          n_(n),
          k_(k),
          x_(m, k, NF4J_BF16, 0),
          y_(m, n, NF4J_BF16, 0),
          weight_(device, n, k, 64, false),
          w_(n, k, NF4J_BF16, 0),
          wanted_(m, n) {
        x_.random();
        Matrix w(n, k, NF4J_F32, 0);
        w.random();
        weight_.quantize(w);
        const nf4j_tensor tw = w_.tensor();
        must(nf4j_nf4_dequantize(device.stream, &weight_.c, 0, &tw), "nf4_dequantize");
        wanted_.fill([&](int64_t i, int64_t j) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) sum += static_cast<double>(x_.at(i, l)) * static_cast<double>(w_.at(j, l));
            return sum;
        });
    }

    // Runs a rung and checks y.
    void run(Rung *rung) {
        y_.fill([](int64_t, int64_t) { return NAN; });
        const ladder::Matrices p = {reinterpret_cast<const bf16 *>(x_.row(0)),
                                    reinterpret_cast<const bf16 *>(w_.row(0)),
                                    cuda::nf4_view(&weight_.c),
                                    reinterpret_cast<bf16 *>(y_.row(0)),
                                    m_,
                                    n_,
                                    k_};
        if (!check(rung->run(nullptr, p) == NF4J_OK, "%s", last_report.c_str())) return;
        rung->counters = simt::Engine::of_this_thread().counters();
        check_near(y_, wanted_, k_, [&](int64_t, int64_t) { return 4.0 * static_cast<double>(k_); }, rung->name);
    }

private:
    int64_t m_, n_, k_;
    Matrix x_, y_;
    Weight weight_;
    Matrix w_, wanted_;
};

// Bytes that a rung moved through global memory, in sectors of 32.
int64_t bytes(const Rung &rung) { return 32 * rung.counters.sectors; }

void print(const std::vector<Rung> &rungs) {
    std::printf(
        "| rung | bytes of global memory | loads and stores of shared memory | bank conflicts | mma |\n|---|--:|--:|--:|--:|\n");
    for (const Rung &r : rungs) {
        std::printf("| %s | %lld | %lld | %lld | %lld |\n", r.name, static_cast<long long>(bytes(r)),
                    static_cast<long long>(r.counters.shared_accesses),
                    static_cast<long long>(r.counters.bank_conflicts), static_cast<long long>(r.counters.mma));
    }
}

void check_claims(const std::vector<Rung> &r) {
    check(bytes(r[0]) > 10 * bytes(r[1]), "shared memory saves too little traffic");
    check(r[1].counters.bank_conflicts > r[1].counters.shared_accesses, "rung 2 has no conflicts to show");
    for (size_t i = 2; i < r.size(); i++) check(r[i].counters.bank_conflicts == 0, "%s has bank conflicts", r[i].name);
    check(4 * r[2].counters.shared_accesses < r[1].counters.shared_accesses, "wide accesses save too little");
    check(4 * r[3].counters.shared_accesses < r[2].counters.shared_accesses, "ldmatrix saves too little");
    check(r[2].counters.mma == 0 && r[3].counters.mma > 0 && r[4].counters.mma == r[3].counters.mma,
          "mma is counted wrongly");
    check(bytes(r[4]) < bytes(r[3]), "4-bit weights save nothing");
}

}  // namespace

int main(int count, char **arguments) {
    int64_t shape[] = {64, 256, 256};
    if (count != 1 && count != 4) {
        std::fputs("usage: ladder [M N K], multiples of 64\n", stderr);
        return 2;
    }
    for (int i = 1; i < count; i++) shape[i - 1] = std::atoll(arguments[i]);
    for (int64_t size : shape) {
        if (size >= 64 && size % 64 == 0) continue;
        std::fprintf(stderr, "%lld is no multiple of 64\n", static_cast<long long>(size));
        return 2;
    }
    connect();
    const Device device(NF4J_BACKEND_SIMT, NF4J_ISA_AUTO, 0);
    if (!check(device.open(), "%s", nf4j_last_error())) return finish("ladder");
    Problem problem(device, shape[0], shape[1], shape[2]);
    std::vector<Rung> rungs = {{"1 naive", ladder::naive},
                               {"2 shared memory", ladder::shared},
                               {"3 asynchronous copies, no conflicts", ladder::async},
                               {"4 tensor cores", ladder::tensor},
                               {"5 4-bit weights", ladder::nf4}};
    for (size_t i = std::size(schedules); i-- > 0;) {  // lock-step last: its counts are printed
        set_schedule(schedules[i]);
        if (i == 0) setenv("NF4J_SIMT_COUNT", "2", 1);
        for (Rung &rung : rungs) problem.run(&rung);
    }
    std::printf("y [%lld, %lld] = x [%lld, %lld] * W^T\n\n", static_cast<long long>(shape[0]),
                static_cast<long long>(shape[1]), static_cast<long long>(shape[0]), static_cast<long long>(shape[2]));
    print(rungs);
    check_claims(rungs);
    return finish("ladder");
}
