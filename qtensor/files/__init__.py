"""Files and folders by name, and how they are written."""
