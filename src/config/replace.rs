//! Files that are replaced at once or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Puts `contents` in the place of the file at `path`, whose permissions stay.
pub fn replace_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    // Written aside and then moved over the old one, in the same directory: a rename must not cross
    // file systems.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let aside = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&aside)?;
        if let Ok(metadata) = fs::metadata(path) {
            file.set_permissions(metadata.permissions())?;
        }
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        match path
            .parent()
            .map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
        {
            Some(parent) => File::open(parent).map_or(Ok(()), |directory| directory.sync_all()),
            None => Ok(()),
        }
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&aside);
    })
}
