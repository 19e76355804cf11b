//! Reads the end of an attempt's output that `--max-log` keeps beside the log while the attempt runs and, after a kill,
//! until the next attempt appends it to the log.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};

use super::error::HistoryError;
use super::filter::pieces;
use super::records::Records;
use crate::support::log_end::{Segment, marker, names, parse_segment};
use crate::support::os;
use crate::support::rooted_dir::{OFlags, is_in_the_way};
use crate::volume::frames::Frame;
use crate::volume::{Attempt, LogFile, Volume, VolumeError};

/// The file with the bytes of `attempt`, and its frame there; `None` if they are not kept.
pub(super) fn bytes_of(records: &Records, attempt: &Attempt) -> Result<Option<(File, Frame)>, HistoryError> {
    let kept = records.bytes_of(attempt)?;
    kept.map(|(file, frame)| with_end(records, attempt, file, frame)).transpose()
}

/// Adds the end that is kept beside the log to `file`, after the attempt's output. Offsets stay the same.
pub(super) fn with_end(
    records: &Records,
    attempt: &Attempt,
    file: File,
    frame: Frame,
) -> Result<(File, Frame), HistoryError> {
    let is_current = attempt.bytes.as_ref().is_some_and(|(log, _)| *log == LogFile::Current);
    let is_open = frame.ended.is_none() && file.metadata().is_ok_and(|metadata| metadata.len() == frame.end);
    let (true, true, Some(volume)) = (is_current, is_open, records.volume()) else {
        return Ok((file, frame));
    };
    let segments = segments(volume).map_err(VolumeError::at("read the end of", &volume.log_path))?;
    if segments.is_empty() {
        return Ok((file, frame));
    }
    Ok(joined(&file, frame, segments).map_err(VolumeError::at("read", &volume.log_path))?)
}

fn segments(volume: &Volume) -> io::Result<Vec<Segment<File>>> {
    let mut files = Vec::new();
    for name in names(&volume.log_name) {
        match volume.state.open_regular(&name, OFlags::RDONLY, 0) {
            Ok(file) => files.push(file),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {}
            Err(error) if is_in_the_way(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let mut segments = Vec::new();
    for file in files {
        segments.extend(parse_segment(file)?);
    }
    segments.sort_by_key(|segment| segment.start);
    Ok(segments)
}

/// One file from the log's part and the segments. The part before the attempt is a hole and takes no memory.
fn joined(log: &File, frame: Frame, segments: Vec<Segment<File>>) -> io::Result<(File, Frame)> {
    let mut file = os::memory_file()?;
    file.seek(SeekFrom::Start(frame.start))?;
    pieces(log, frame.start..frame.end, &mut |_, piece| file.write_all(piece))?;
    let left_out = segments.first().map_or(0, |first| first.start.saturating_sub(first.head));
    if left_out > 0 {
        file.write_all(marker(left_out).as_bytes())?;
    }
    for mut segment in segments {
        io::copy(&mut segment.file, &mut file)?;
    }
    let end = file.stream_position()?;
    Ok((file, Frame { output: frame.output.start..end, closed: end, end, ..frame }))
}
