/// Models of the Llama family with frozen weights and trained LoRA adapters.
package io.github.nf4j.nn;
