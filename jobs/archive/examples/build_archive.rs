//! `build_archive PHOTOS OUT.zip [PARALLEL]`: does what the job of that name does, from local files to a local file.
//!
//! For `benches/archive`: prints one line of JSON with the counts and the process's peak memory.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use archive::{Archive, Fetched, PhotoLimits, Workbench};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (photos, out, parallel) = match arguments.as_slice() {
        [photos, out] => (photos, out, std::thread::available_parallelism()?.get()),
        [photos, out, parallel] => (photos, out, parallel.parse()?),
        _ => return Err("usage: build_archive PHOTOS OUT.zip [PARALLEL]".into()),
    };
    let mut files: Vec<PathBuf> = fs::read_dir(photos)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    let archive = build(&files, parallel).await?;
    let reused = archive
        .accepted
        .iter()
        .filter(|photo| photo.passed_through)
        .count();
    for (photo, problem) in &archive.rejected {
        writeln!(io::stderr(), "{}: {problem}", files[*photo].display())?;
    }
    writeln!(
        io::stdout(),
        r#"{{"accepted":{},"passed_through":{reused},"rejected":{},"bytes":{},"name":"{}","peak_kb":{}}}"#,
        archive.accepted.len(),
        archive.rejected.len(),
        archive.length,
        archive.file_name(),
        peak_memory_kb()?,
    )?;
    save(archive, Path::new(out))?;
    Ok(())
}

async fn build(files: &[PathBuf], parallel: usize) -> Result<Archive, Box<dyn std::error::Error>> {
    let fetch = async |photo: usize| {
        tokio::fs::read(&files[photo])
            .await
            .map(|file| Fetched::Photo(file.into()))
    };
    let limits = PhotoLimits {
        photos: 1..=files.len(),
        ..PhotoLimits::default()
    };
    let workbench = Workbench::new(Workbench::DEFAULT_MEMORY, parallel)?;
    Ok(workbench
        .build(files.len(), fetch, &limits, &CancellationToken::new())
        .await?)
}

fn save(mut archive: Archive, out: &Path) -> io::Result<()> {
    io::copy(&mut archive.file, &mut fs::File::create(out)?).map(drop)
}

/// This process's own peak; a parent's `ru_maxrss` would also count memory from before `exec`.
fn peak_memory_kb() -> Result<u64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .ok_or("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
