//! What redaction promises, against a reference that is too simple to be wrong, over generated texts and chunks.

use super::*;

/// xorshift64*: the same cases in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).expect("31 bits") % limit
    }

    fn bytes(&mut self, length: usize, alphabet: &[u8]) -> Vec<u8> {
        (0..length).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

fn push(stream: &mut Stream, chunk: &[u8], out: &mut Vec<u8>) {
    let Pushed { bytes, verbatim } = stream.push(chunk);
    out.extend_from_slice(bytes);
    out.extend_from_slice(&chunk[..verbatim]);
}

fn reference(text: &[u8], needles: &[Vec<u8>]) -> Vec<u8> {
    let mut masked = vec![false; text.len()];
    for needle in needles {
        for start in 0..text.len() {
            if text[start..].starts_with(needle) {
                masked[start..start + needle.len()].fill(true);
            }
        }
    }
    let mut out = Vec::new();
    for (index, &byte) in text.iter().enumerate() {
        if !masked[index] {
            out.push(byte);
        } else if index == 0 || !masked[index - 1] {
            out.extend_from_slice(b"***");
        }
    }
    out
}

/// The bytes at the end of `text` that begin a needle and are not all of it.
fn begun(text: &[u8], needles: &[Vec<u8>]) -> usize {
    let begins =
        |end: &[u8]| needles.iter().any(|needle| needle.len() > end.len() && needle.starts_with(end));
    let longest = needles.iter().map(Vec::len).max().unwrap_or(0);
    let first = text.len().saturating_sub(longest);
    (first..text.len()).find(|&from| begins(&text[from..])).map_or(0, |from| text.len() - from)
}

#[test]
fn any_chunking_gives_the_same_output_and_no_needle_appears_in_it() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..400 {
        // Few letters, so that needles overlap, repeat and nearly match.
        let alphabet: &[u8] = if round % 2 == 0 { b"ab" } else { b"abcdefgh\n\"%" };
        let count = 1 + random.below(5);
        let secrets: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let length = 6 + random.below(if round % 3 == 0 { 3 } else { 30 });
                random.bytes(length, alphabet)
            })
            .collect();
        let needles = forms::all(&secrets);
        let mut text = Vec::new();
        for _ in 0..random.below(40) {
            // The longest are encoded ones: what is held back shows with these.
            let needle = &needles[random.below(needles.len())];
            let piece = random.below(needle.len() + 1);
            match random.below(3) {
                0 => text.extend_from_slice(needle),
                1 => text.extend_from_slice(&needle[..piece]),
                _ => {
                    let length = random.below(20);
                    text.extend(random.bytes(length, alphabet));
                }
            }
        }
        let redactor = Redactor::new(&secrets).expect("there are secrets");
        let expected = reference(&text, &needles);
        for chunking in 0..8 {
            let mut stream = redactor.stream();
            let mut out = Vec::new();
            let mut rest = &text[..];
            while !rest.is_empty() {
                let largest = [1, 60, 60, 60, 60, 600, 600, 600][chunking];
                let largest = 1 + random.below(largest);
                let (chunk, further) = rest.split_at(largest.min(rest.len()));
                push(&mut stream, chunk, &mut out);
                rest = further;
                let held = stream.bytes.len() - stream.passed;
                assert_eq!(held, begun(&text[..text.len() - rest.len()], &needles), "held back");
            }
            out.extend_from_slice(stream.flush());
            assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
        for needle in &needles {
            assert!(!expected.windows(needle.len()).any(|window| window == &needle[..]));
        }
    }
}

#[test]
fn a_needle_is_masked_wherever_it_is_cut() {
    let secret = b"p@ss/w\"rd 1".to_vec();
    let redactor = Redactor::new(std::slice::from_ref(&secret)).expect("one secret");
    for needle in forms::all(&[secret]) {
        let text = [b"x ", &needle[..], b" y"].concat();
        let expected = redactor.redact(&text);
        for cut in 0..text.len() {
            let mut stream = redactor.stream();
            let mut out = Vec::new();
            push(&mut stream, &text[..cut], &mut out);
            push(&mut stream, &text[cut..], &mut out);
            out.extend_from_slice(stream.flush());
            assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string(), "cut at {cut}");
        }
    }
}

#[test]
fn a_needle_split_by_a_pause_never_appears_whole_and_its_rest_is_masked() {
    let redactor = Redactor::new(&[b"correct horse".to_vec()]).expect("one secret");
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    push(&mut stream, b"say correct ", &mut out);
    assert_eq!(out, b"say ");
    assert!(stream.holds());
    out.extend_from_slice(stream.flush());
    push(&mut stream, b"horse!", &mut out);
    assert_eq!(out, b"say correct ***!");
}

#[test]
fn what_cannot_begin_a_needle_is_not_held_back() {
    let redactor = Redactor::new(&[b"correct horse".to_vec()]).expect("one secret");
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    push(&mut stream, b"Password: ", &mut out);
    assert_eq!(out, b"Password: ");
    assert!(!stream.holds());
}

/// What is held back dies with a runner that is killed, so it is no more than it must be.
#[test]
fn a_needle_that_is_whole_and_what_only_looks_like_one_are_not_held_back() {
    let secrets: Vec<Vec<u8>> =
        (b'a'..=b'z').map(|first| [&[first][..], b"-correct-horse"].concat()).collect();
    let redactor = Redactor::new(&secrets).expect("there are secrets");
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    push(&mut stream, b"every word of this begins a needle, and it is a-correct-horse", &mut out);
    assert_eq!(out.escape_ascii().to_string(), "every word of this begins a needle, and it is ***");
    push(&mut stream, b" b-corr", &mut out);
    assert!(out.ends_with(b"*** ") && stream.holds());
}

/// Where every byte could go on, and there is much of it, more than that is held back in place of looking for ever.
#[test]
fn of_text_that_is_one_long_beginning_nothing_is_lost() {
    let secret = ["a".repeat(20_000).as_bytes(), b"b"].concat();
    let redactor = Redactor::new(std::slice::from_ref(&secret)).expect("one secret");
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for _ in 0..30 {
        push(&mut stream, &[b'a'; 1000], &mut out);
    }
    push(&mut stream, b"b, and that was it", &mut out);
    out.extend_from_slice(stream.flush());
    assert_eq!(out, ["a".repeat(10_000).as_bytes(), b"***, and that was it"].concat());
}

#[test]
fn a_chunk_without_a_needle_is_passed_on_as_it_came() {
    let redactor = Redactor::new(&[b"correct horse".to_vec()]).expect("one secret");
    let mut stream = redactor.stream();
    let chunk = [&[b'x'; 1000][..], b"corr"].concat();
    assert_eq!(stream.push(&chunk), Pushed { bytes: b"", verbatim: 1000 });
    assert_eq!(stream.push(&chunk), Pushed { bytes: b"corr", verbatim: 1000 });
    let rest = [b"ect horse", &[b'y'; 1000][..]].concat();
    let expected = [b"***", &[b'y'; 1000][..]].concat();
    assert_eq!(stream.push(&rest), Pushed { bytes: &expected, verbatim: 0 });
}

#[test]
fn every_encoded_form_is_masked() {
    let secret = b"p@ss/w\"rd 1".to_vec();
    let redactor = Redactor::new(&[secret]).expect("one secret");
    for (text, masked) in [
        ("x p@ss/w\"rd 1 y", "x *** y"),
        // base64 of the secret and a full stop, behind none, `x`, `xy` and `user:`.
        ("cEBzcy93InJkIDEu", "***Eu"),
        ("eHBAc3MvdyJyZCAxLg==", "eH***Lg=="),
        ("eHlwQHNzL3cicmQgMS4=", "eHl***S4="),
        ("dXNlcjpwQHNzL3cicmQgMS4=", "dXNlcjp***S4="),
        ("p%40ss%2Fw%22rd%201", "***"),
        ("p@ss/w%22rd%201", "***"),
        ("p%40ss%2Fw%22rd+1", "***"),
        ("{\"k\":\"p@ss/w\\\"rd 1\"}", "{\"k\":\"***\"}"),
    ] {
        assert_eq!(String::from_utf8_lossy(&redactor.redact(text.as_bytes())), masked, "{text}");
    }
}

#[test]
fn a_secret_of_several_lines_is_masked_whole_and_line_by_line() {
    let body: Vec<String> = (0..5_u8).map(|n| format!("{}", char::from(b'A' + n)).repeat(64)).collect();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", body.join("\n"));
    let redactor =
        Redactor::new(&[key.clone().into_bytes(), b"[default]\nuser\nlong-enough-to-be-one".to_vec()]);
    let masked = |text: &str| {
        let redacted = redactor.as_ref().expect("there are secrets").redact(text.as_bytes());
        String::from_utf8(redacted).expect("text")
    };
    assert_eq!(masked(&format!("a {key} b")), "a *** b");
    assert_eq!(masked(&format!("a {} b", key.replace('\n', "\\n"))), "a *** b");
    assert_eq!(
        masked(&format!("    {}\r\n", key.replace('\n', "\r\n    "))),
        format!("{}\r\n", "    ***\r\n".repeat(7).trim_end())
    );
    assert_eq!(masked("[default]\nuser=x\n  long-enough-to-be-one\n"), "[default]\nuser=x\n  ***\n");
}

#[test]
fn a_secret_that_is_given_twice_and_one_within_another_are_one_mask() {
    let secrets = [&b"hunter2"[..], b"hunter2", b"my-hunter2-hunter2-prod", b"2-hunter", b"hunter2-h"];
    let redactor = Redactor::new(&secrets.map(<[u8]>::to_vec)).expect("there are secrets");
    for (text, masked) in [
        ("hunter2 hunter2", "*** ***"),
        ("my-hunter2-hunter2-prod!", "***!"),
        ("my-hunter2-hunter2-prox!", "my-***-prox!"),
        ("2-hunter2-hunter2", "***"),
    ] {
        assert_eq!(String::from_utf8_lossy(&redactor.redact(text.as_bytes())), masked, "{text}");
    }
}

#[test]
fn without_secrets_there_is_no_redactor() {
    assert!(Redactor::new(&[]).is_none());
}
