"""What the services share (`libs.common`) and what runs inside a developer's image (`libs/component`)."""
