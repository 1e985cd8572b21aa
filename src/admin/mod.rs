//! Requests of operators and their answers, as JSON, text and metrics. Pure.
