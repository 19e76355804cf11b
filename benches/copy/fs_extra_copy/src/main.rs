//! `fs_extra::dir::copy` as a program: SRC's content into DST.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (paths.next(), paths.next()) else {
        return Err("usage: fs_extra_copy SRC DST".into());
    };
    std::fs::create_dir_all(&to)?;
    let options = fs_extra::dir::CopyOptions::new().content_only(true).overwrite(true);
    fs_extra::dir::copy(from, to, &options)?;
    Ok(())
}
