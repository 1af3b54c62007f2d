package io.github.nf4j.io;

import java.util.Arrays;

/// Arithmetic on tensor shapes that never wraps.
final class Shapes {
    private Shapes() {
    }

    /// The product of the sizes.
    ///
    /// @throws ArithmeticException if it exceeds a long, or if a size is negative. A zero does not hide an overflow:
    ///                             the product of the other sizes must fit as well.
    static long elements(long[] shape) {
        long product = 1;
        boolean empty = false;
        for (long size : shape) {
            if (size < 0) {
                throw new ArithmeticException("negative size " + size);
            }
            empty |= size == 0;
            product = Math.multiplyExact(product, Math.max(size, 1));
        }
        return empty ? 0 : product;
    }

    static String text(long[] shape) {
        return Arrays.toString(shape);
    }
}
