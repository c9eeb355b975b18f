// Loaded before a pod (`--import`): its wall clock is wrong by CLOCK_SKEW_MS. The monotonic clock is not touched, as in life.
const skewMs = Number(process.env.CLOCK_SKEW_MS ?? '0')
const rightMs = Date.now
Date.now = () => rightMs() + skewMs
