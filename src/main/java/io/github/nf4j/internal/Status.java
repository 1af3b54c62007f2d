package io.github.nf4j.internal;

import io.github.nf4j.BackendUnavailableException;
import io.github.nf4j.DeviceLostException;
import io.github.nf4j.Nf4jException;
import io.github.nf4j.OutOfDeviceMemoryException;
import io.github.nf4j.bindings.Nf4jH;

/// Turns the status of a native call into an exception that carries the library's own sentence.
public final class Status {
    private static final int OK = Nf4jH.NF4J_OK();

    private Status() {
    }

    /// Does nothing for `NF4J_OK`; throws for everything else. To be called on the thread that made the call.
    public static void check(int status) {
        if (status != OK) {
            throw exception(status, Nf4jH.nf4j_last_error().getString(0));
        }
    }

    static RuntimeException exception(int status, String text) {
        if (status == Nf4jH.NF4J_INVALID_ARGUMENT()) {
            return new IllegalArgumentException(text);
        } else if (status == Nf4jH.NF4J_OUT_OF_MEMORY()) {
            return new OutOfDeviceMemoryException(text);
        } else if (status == Nf4jH.NF4J_UNSUPPORTED()) {
            return new UnsupportedOperationException(text);
        } else if (status == Nf4jH.NF4J_BACKEND_UNAVAILABLE()) {
            return new BackendUnavailableException(text);
        } else if (status == Nf4jH.NF4J_DEVICE_LOST()) {
            return new DeviceLostException(text);
        }
        return new Nf4jException(text + " (status " + status + ")");
    }
}
