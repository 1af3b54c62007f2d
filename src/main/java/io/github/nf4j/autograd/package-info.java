/// A thin autograd: a tape of operations with hand-written backward rules, one class a rule, and pooled memory for what lies
/// between forward and backward.
package io.github.nf4j.autograd;
