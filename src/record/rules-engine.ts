/** Who writes what the rules find; stored with the clinic's protocol (install-protocol.ts). */
export const RULES_ENGINE = { reference: 'Device/kap-rules-engine', display: 'KAP rules engine' };
