//! What `doctor` found, check by check.

use volsnap::{Finding, Severity, view::DoctorView};

/// The answer of `doctor`.
pub fn doctor(view: &DoctorView) -> String {
    let mut lines = Vec::new();
    let mut last = "";
    for finding in &view.findings {
        if finding.check != last {
            last = finding.check;
            lines.push(last.to_string());
        }
        lines.push(line(finding));
        lines.extend(
            finding.remedy.iter().filter(|_| !finding.fixed).map(|remedy| format!("           remedy: {remedy}")),
        );
    }
    let open = view.findings.iter().filter(|finding| finding.is_open()).count();
    let fixed = view.findings.iter().filter(|finding| finding.fixed).count();
    let put_right = if fixed == 0 { String::new() } else { format!("{fixed} put right, ") };
    lines.push(match open {
        0 => format!("{put_right}nothing to do"),
        1 => format!("{put_right}1 thing to look at"),
        open => format!("{put_right}{open} things to look at"),
    });
    lines.join("\n")
}

fn line(finding: &Finding) -> String {
    let severity = match (finding.fixed, finding.severity) {
        (true, _) => "fixed",
        (false, Severity::Ok) => "ok",
        (false, Severity::Note) => "note",
        (false, Severity::Warning) => "warning",
        (false, Severity::Problem) => "problem",
    };
    format!("  {severity:7}  {}: {}", finding.subject, finding.message)
}
