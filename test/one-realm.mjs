// jest runs each test file in a context of its own, whose Error is not the one that Node's own modules throw: there
// `error instanceof Error` is false for ENOENT or ECONNREFUSED, and code under test would behave as it never does in
// the service. So in tests Error is any error.
const byPrototype = Function.prototype[Symbol.hasInstance];
Object.defineProperty(Error, Symbol.hasInstance, {
  value(candidate) {
    return this === Error ? Error.isError(candidate) : byPrototype.call(this, candidate);
  },
});
