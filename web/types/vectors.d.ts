import type { ClientMessage, ServerMessage } from './protocol.js';

/** Bytes in hex, with the message that they encode or the kind of error that they cause. */
export type Vector =
  | { from: 'client'; hex: string; message: ClientMessage; error?: undefined }
  | { from: 'server'; hex: string; message: ServerMessage; error?: undefined }
  | { from: 'client' | 'server'; hex: string; message?: undefined; error: VectorError };

/** The kind of error of malformed bytes. */
export type VectorError = 'empty' | 'length' | 'type' | 'direction' | 'flags';

declare const vectors: readonly Vector[];
export default vectors;
