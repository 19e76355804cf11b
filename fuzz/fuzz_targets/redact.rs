//! Redaction: any chunking gives the same output, and no secret appears in it.
//!
//! The input: one byte with the number of secrets, each with a length byte before it; a byte that seeds the sizes of
//! the chunks; the rest is the text. Bytes are folded to few letters, so that secrets are hit at all.
#![no_main]

use hook_runner::internals::Redactor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let letters: Vec<u8> = data.iter().map(|byte| b'a' + byte % 4).collect();
    let Some((&count, mut rest)) = data.split_first() else { return };
    let mut secrets = Vec::new();
    for _ in 0..=count % 4 {
        let Some((&length, after)) = rest.split_first() else { return };
        let length = 6 + usize::from(length % 32);
        if after.len() < length {
            return;
        }
        let start = data.len() - after.len();
        secrets.push(letters[start..start + length].to_vec());
        rest = &after[length..];
    }
    let Some((&seed, text)) = rest.split_first() else { return };
    let text = &letters[data.len() - text.len()..];
    let Some(redactor) = Redactor::new(&secrets) else { return };

    let whole = redactor.redact(text);
    let mut stream = redactor.stream();
    let mut pieces = Vec::new();
    let mut state = u32::from(seed);
    let mut left = text;
    while !left.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (chunk, after) = left.split_at((1 + (state >> 24) as usize % 80).min(left.len()));
        let pushed = stream.push(chunk);
        pieces.extend_from_slice(pushed.bytes);
        pieces.extend_from_slice(&chunk[..pushed.verbatim]);
        left = after;
    }
    pieces.extend_from_slice(stream.flush());
    assert_eq!(pieces, whole, "the chunks made a difference");
    for secret in &secrets {
        assert!(!whole.windows(secret.len()).any(|window| window == &secret[..]), "a secret came through");
    }
});
