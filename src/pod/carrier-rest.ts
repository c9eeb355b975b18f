// The carrier's REST of this process, when the account and its token are configured.
import { type CarrierRest, openCarrierRest } from '../carrier/twilio/rest/rest.ts'
import type { Config } from '../config.ts'
import type { Log } from '../kit/log.ts'

/** undefined: no credentials are configured. */
export async function carrierRestOf(config: Config, log: Log): Promise<CarrierRest | undefined> {
  const { accountSid, authTokens, apiBaseUrl } = config.twilio
  if (accountSid === undefined || authTokens.length === 0) return undefined
  return openCarrierRest({ accountSid, authTokens, baseUrl: apiBaseUrl, log })
}
