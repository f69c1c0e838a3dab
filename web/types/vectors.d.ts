import type { ClientMessage, ServerMessage } from './protocol.js';

/** Bytes in hex and the message they are, or the kind of error that they are. */
export type Vector =
  | { from: 'client'; hex: string; message: ClientMessage; error?: undefined }
  | { from: 'server'; hex: string; message: ServerMessage; error?: undefined }
  | { from: 'client' | 'server'; hex: string; message?: undefined; error: VectorError };

/** Why bytes are no message. */
export type VectorError = 'empty' | 'length' | 'type' | 'direction' | 'flags';

declare const vectors: readonly Vector[];
export default vectors;
