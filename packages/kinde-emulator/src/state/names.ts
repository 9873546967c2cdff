/** What believable users are called. */
export const FIRST_NAMES = (
  "Ada Aisha Alba Amara Amir Ana Andre Anika Arjun Astrid Ava Ben Beatriz Bo Carla Chidi Chloe Clara Daan Daniel Diego " +
  "Dina Elena Eli Elif Emeka Emma Erik Esra Eva Farah Felix Fatima Freya Gita Grace Hana Hugo Ines Isla Ivan Jack Jada " +
  "Jana Jonas Julia Kai Kamal Kara Kenji Lars Laila Leo Lena Liam Lin Lucia Luka Maeve Malik Maria Mateo Maya Mei Mia " +
  "Mila Nadia Nia Nils Noah Nora Olga Omar Oscar Paula Petra Priya Rafa Rania Remy Rosa Ruby Sami Sara Sean Sofia Tara " +
  "Tomas Uma Vera Viktor Wei Willa Yara Yuki Yusuf Zara Zoe"
).split(" ");

export const LAST_NAMES = (
  "Abbas Adams Adeyemi Ahmed Almeida Andersson Bakker Barros Becker Bell Berg Bianchi Brown Campbell Chen Clarke Cohen " +
  "Costa Cruz Dahl Davies Diaz Diallo Dubois Edwards Eriksen Evans Farouk Fernandez Fischer Foster Garcia Gomez Gupta " +
  "Haddad Hansen Hassan Hernandez Hughes Ibrahim Ito Ivanov Jansen Jensen Jones Kaya Keller Khan Kim Kowalski Kumar " +
  "Larsen Laurent Lee Lopez Malik Martin Mbeki Meyer Mori Morris Murphy Nakamura Navarro Nguyen Nielsen Novak Okafor " +
  "Olsen Ortiz Osman Park Patel Pereira Petrov Popescu Quinn Rahman Ramos Rossi Ruiz Ryan Santos Sato Schmidt Silva " +
  "Singh Smith Sousa Suzuki Tanaka Taylor Torres Tran Vargas Virtanen Walker Wang Weber Wilson Wong Yilmaz Zhang"
).split(" ");

export const DOMAINS = "example.com example.org example.net mail.example studio.example works.example".split(" ");

export const ORG_NAMES = (
  "Aurora Beacon Cedar Cobalt Compass Delta Ember Falcon Fern Granite Harbor Helix Indigo Juniper Keystone Lantern " +
  "Maple Meridian Nimbus Northwind Oak Onyx Orbit Pine Prism Quartz Ridge River Sable Summit Tidal Vertex Willow Zephyr"
).split(" ");

export const ORG_KINDS = "Labs Works Health Foods Energy Media Logistics Studio Bank Robotics".split(" ");
