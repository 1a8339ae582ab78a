//! What verbs print that write: a line for each object, or the objects in a form.

use serde_json::Value;

use crate::failure::Failure;
use crate::flags::{DryRun, Writing};
use crate::manifest;
use crate::output::{Form, presented, printed_name};
use crate::screen::Screen;
use crate::targets::Target;

/// Prints what was done, as it is done; objects in a form are printed together at the end.
#[derive(Debug)]
pub struct Report {
    form: Form,
    dry_run: DryRun,
    show_managed_fields: bool,
    screen: Screen,
    objects: Vec<Value>,
}

impl Report {
    /// A report of nothing yet.
    ///
    /// # Errors
    /// When there is no such form.
    pub fn new(writing: &Writing, screen: Screen) -> Result<Self, Failure> {
        let Writing { dry_run, output, show_managed_fields } = writing;
        let form = Form::parse(output)?;
        Ok(Self {
            form,
            dry_run: *dry_run,
            show_managed_fields: *show_managed_fields,
            screen,
            objects: Vec::new(),
        })
    }

    /// An object was `done`: created, patched...
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn add(&mut self, target: &Target, done: &str, object: Value) -> Result<(), Failure> {
        match self.form {
            Form::Human { .. } => {
                let name = target.kind.printed(named(target, &object));
                self.screen.line(&format!("{name} {done}{}", self.dry_run.note()))
            }
            Form::Name => self.screen.line(&target.kind.printed(named(target, &object))),
            _ => {
                self.objects.push(presented(object, self.show_managed_fields));
                Ok(())
            }
        }
    }

    /// Prints what was collected.
    ///
    /// # Errors
    /// When a template does not fit.
    pub fn close(mut self) -> Result<(), Failure> {
        match self.objects.len() {
            0 => Ok(()),
            1 => self.screen.print(&self.form.print(&self.objects.remove(0), printed_name)?),
            _ => self.screen.print(&self.form.print(&manifest::list(self.objects), printed_name)?),
        }
    }
}

/// A generated name is known only afterwards.
fn named<'a>(target: &'a Target, object: &'a Value) -> &'a str {
    if target.name.is_empty() { manifest::name(object) } else { &target.name }
}
