"""What workers call: claims, heartbeats and reports. A worker acts on a task only under its current lease."""
