/// AdamW and learning-rate schedules.
package io.github.nf4j.optim;
