//! `config/alerts.yml` and what stands beside it: an operator who is woken finds a page, and no alert waits for a metric that
//! nobody has. What the rules say of given figures is in `config/alerts-test.yml`, for Prometheus' own promtool.

use std::collections::BTreeSet;

use super::source::text_files;

/// What is wrong with the rules, beside their pages and their cases, for a program whose code is `code`.
fn problems(rules: &str, pages: &str, cases: &str, code: &str) -> Vec<String> {
    let alerts: BTreeSet<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let mut found = Vec::new();
    for alert in &alerts {
        let anchor = format!("runbook_url: docs/alerts.md#{}", alert.to_lowercase());
        if !rules.lines().any(|line| line.trim() == anchor) {
            found.push(format!("{alert} has no `{anchor}`"));
        }
        if !pages.lines().any(|line| line.strip_prefix("## ") == Some(*alert)) {
            found.push(format!("docs/alerts.md has no page `## {alert}`"));
        }
        if !cases
            .lines()
            .any(|line| line.trim().strip_prefix("alertname: ") == Some(*alert))
        {
            found.push(format!(
                "config/alerts-test.yml has no case in which {alert} fires"
            ));
        }
    }
    let written = pages.lines().filter_map(|line| line.strip_prefix("## "));
    found.extend(
        written
            .filter(|page| !alerts.contains(page))
            .map(|page| format!("the page {page} is of no alert")),
    );
    let metrics: BTreeSet<&str> = rules
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("aisha_"))
        .collect();
    let is_there = |metric: &&str| code.contains(&format!("\"{metric}\""));
    found.extend(
        metrics
            .iter()
            .filter(|metric| !is_there(metric))
            .map(|metric| format!("no code has the metric {metric}")),
    );
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn each_alert_has_a_page_a_case_and_metrics_that_exist() {
    let code: Vec<String> = text_files(&["src", "jobs"], "rs")
        .into_iter()
        .flat_map(|source| source.code)
        .collect();
    let found = problems(
        &read("config/alerts.yml"),
        &read("docs/alerts.md"),
        &read("config/alerts-test.yml"),
        &code.join("\n"),
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_alert_without_a_page_a_case_or_its_metric_is_noticed() {
    let rule = "- alert: A\nexpr: aisha_a > 0\nrunbook_url: docs/alerts.md#a";
    let problems = |rules, pages, cases, code| problems(rules, pages, cases, code).len();
    assert_eq!(problems(rule, "## A", "alertname: A", r#"gauge!("aisha_a")"#), 0);
    assert_eq!(
        problems(rule, "## B", "alertname: A", r#"gauge!("aisha_a")"#),
        2,
        "no page, and one of no alert"
    );
    assert_eq!(
        problems(
            rule,
            "## A",
            "{alertname: A, exp_alerts: []}",
            r#"gauge!("aisha_a")"#
        ),
        1
    );
    assert_eq!(
        problems(rule, "## A", "alertname: A", r#"gauge!("aisha_another")"#),
        1
    );
    assert_eq!(
        problems(
            "- alert: A\nrunbook_url: docs/alerts.md#b",
            "## A",
            "alertname: A",
            ""
        ),
        1
    );
}
