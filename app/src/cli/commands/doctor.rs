//! `doctor`.

use volsnap::{DoctorOptions, Result, verdict, view::DoctorView};

use crate::cli::{answer::Answer, render, session::Session};

pub async fn doctor(session: &Session, fix: bool) -> Result<Answer> {
    let findings = session.volsnap.doctor(&DoctorOptions { fix, ..DoctorOptions::default() }).await;
    let code = verdict(&findings);
    let view = DoctorView { findings };
    Ok(Answer::new(&view, render::doctor(&view))?.code(code))
}
