package io.github.nf4j.nn;

import io.github.nf4j.DType;
import io.github.nf4j.Tensor;
import io.github.nf4j.autograd.PooledTensor;
import io.github.nf4j.autograd.TensorPool;
import io.github.nf4j.op.RopeOps;

/// Makes the cos and sin that a forward pass needs.
final class RopeTables {
    private final RopeFrequencies frequencies;
    private final int headSize;

    RopeTables(ModelConfig config) {
        this.frequencies = new RopeFrequencies(config);
        this.headSize = config.headSize();
    }

    /// The table for sequences of which some tokens are new. Where frequencies depend on the length, each sequence has those of
    /// its own, so that it does not depend on its neighbours.
    ///
    /// @param first  for each sequence the position of its first new token
    /// @param counts for each sequence the number of new tokens
    /// @return F32 [all new tokens, head size], until the pool is reset
    Tensor table(TensorPool pool, int[] first, int[] counts) {
        int[] positions = positions(first, counts);
        PooledTensor ids = pool.take(DType.I32, 1, positions.length);
        HostCopies.write(pool.stream(), positions, ids.tensor());
        Tensor table = pool.takeLasting(DType.F32, positions.length, headSize);
        if (frequencies.dependOnLength()) {
            int row = 0;
            for (int s = 0; s < counts.length; s++) {
                write(pool, first[s] + counts[s], ids.tensor().columns(row, counts[s]), table.rows(row, counts[s]));
                row += counts[s];
            }
        } else {
            write(pool, 0, ids.tensor(), table);
        }
        ids.release();
        return table;
    }

    private void write(TensorPool pool, int length, Tensor positions, Tensor table) {
        PooledTensor inverse = pool.take(DType.F32, 1, headSize / 2);
        HostCopies.write(pool.stream(), frequencies.inverse(length), inverse.tensor());
        RopeOps.table(pool.stream(), positions, inverse.tensor(), frequencies.scale(), table);
        inverse.release();
    }

    private static int[] positions(int[] first, int[] counts) {
        int total = 0;
        for (int count : counts) {
            total += count;
        }
        int[] positions = new int[total];
        int row = 0;
        for (int s = 0; s < counts.length; s++) {
            for (int i = 0; i < counts[s]; i++) {
                positions[row++] = first[s] + i;
            }
        }
        return positions;
    }
}
