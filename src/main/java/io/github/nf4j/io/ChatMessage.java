package io.github.nf4j.io;

import java.util.Objects;

/// One turn of a conversation.
///
/// @param role    who speaks: `system`, `user` or `assistant`, or what else the model's template knows
/// @param content what is said
public record ChatMessage(String role, String content) {
    public ChatMessage {
        Objects.requireNonNull(role, "role");
        Objects.requireNonNull(content, "content");
    }
}
