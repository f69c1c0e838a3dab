//! An independent parser for a client's bytes after the upgrade (RFC 6455). It shares no code with the server.

use game_client::ClientMessage;

/// Longest game message, in bytes.
const MESSAGE_BYTES_MAX: usize = 64;

/// Returns the sequence numbers of the valid MOVEs, up to the first violation or the end of the session.
pub fn moves(mut bytes: &[u8]) -> Vec<u32> {
    let (mut sequences, mut message) = (Vec::new(), None::<Vec<u8>>);
    while let Some((first, payload)) = take_frame(&mut bytes) {
        let is_last = first & 0x80 != 0;
        match (first & 0x7f, &mut message) {
            (0, Some(whole)) => whole.extend(payload),
            (2, None) => message = Some(payload),
            (9 | 10, _) if is_last => continue,
            _ => break,
        }
        if message.as_ref().is_some_and(|whole| whole.len() > MESSAGE_BYTES_MAX) {
            break;
        }
        if is_last && let Some(whole) = message.take() {
            match ClientMessage::decode(&whole) {
                Ok(ClientMessage::Move { sequence, .. }) => sequences.push(sequence),
                Ok(ClientMessage::Leave) => break,
                _ => {}
            }
        }
    }
    sequences
}

/// Takes the first byte and the payload of the next frame, if it is complete, masked and within the length limit.
fn take_frame(bytes: &mut &[u8]) -> Option<(u8, Vec<u8>)> {
    let [first, second, rest @ ..] = *bytes else { return None };
    let length = usize::from(second & 0x7f);
    let (mask, rest) = rest.split_first_chunk::<4>()?;
    if second & 0x80 == 0 || length > 125 {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((*first, payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect()))
}
